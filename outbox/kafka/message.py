"""The message an event becomes: key, headers, payload. Written by relays, read by consumers.

| header | value |
| --- | --- |
| `tenant-id`, `dedupe-key`, `event-id` | as stored; the pair of the first two names an event for ever |
| `event-created-at` | when it was enqueued: microseconds since 1970-01-01 UTC, in decimal |
| `attempt` | 1 for the first attempt to publish it |
| `content-type` | `application/json` |
| `traceparent` | W3C trace context of the transaction that enqueued it, if it had one |
| `replay` | how often an operator has had it published again: `1`, `2` ...; else absent |

Every other header is the application's own. The key is `tenant:partition_key`, or `tenant:dedupe_key` for an
event without; the value is the event's payload, JSON in UTF-8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from outbox.errors import OutboxError

if TYPE_CHECKING:
    from confluent_kafka import Message

TENANT_ID = "tenant-id"
DEDUPE_KEY = "dedupe-key"
EVENT_ID = "event-id"
EVENT_CREATED_AT = "event-created-at"
ATTEMPT = "attempt"
CONTENT_TYPE = "content-type"
TRACEPARENT = "traceparent"
REPLAY = "replay"

OWN_HEADERS = frozenset({TENANT_ID, DEDUPE_KEY, EVENT_ID, EVENT_CREATED_AT, ATTEMPT, CONTENT_TYPE, REPLAY})
"""Names that an application cannot give its headers."""

EPOCH_OFFSET = 946_684_800_000_000
"""Microseconds from 1970 to 2000, from where PostgreSQL counts its timestamps."""

Header = tuple[str, str]
Constants = tuple[Header, Header, Header]

_CONTENT = (CONTENT_TYPE, "application/json")
_ATTEMPTS = [(ATTEMPT, str(attempt)) for attempt in range(1, 33)]


class NotAnEvent(OutboxError):
    """A message was not written by the outbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedEvent:
    """An event as a consumer receives it. At least once: `(tenant_id, dedupe_key)` tells a repetition."""

    tenant_id: str
    dedupe_key: str
    event_id: int
    created_at: datetime
    attempt: int
    key: str
    payload: bytes
    topic: str
    partition: int
    offset: int
    traceparent: str | None = None
    replay: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """The application's own."""


def constant_headers(tenant_id: str) -> Constants:
    """What is the same for every event of a tenant at its first attempt: tenant, attempt, content type."""
    return (TENANT_ID, tenant_id), _ATTEMPTS[0], _CONTENT


def event_headers(constants: Constants, dedupe_key: str, event_id: int, created_us: int, attempts: int) -> list[Header]:
    """An event's headers, after `attempts` failed ones. Positional, and without a loop: once per event.

    `created_us` counts microseconds since 2000-01-01 UTC, as PostgreSQL does.
    """
    tenant, first, content = constants
    return [
        tenant,
        (DEDUPE_KEY, dedupe_key),
        (EVENT_ID, f"{event_id}"),
        (EVENT_CREATED_AT, f"{created_us + EPOCH_OFFSET}"),
        _attempt(attempts) if attempts else first,
        content,
    ]


def message_key(tenant_id: str, partition_key: str, dedupe_key: str) -> str:
    """Events that share a key share a partition, and with it their order."""
    return f"{tenant_id}:{partition_key or dedupe_key}"


def parse_message(message: Message) -> ReceivedEvent:
    """The event in a consumed message. Raises `NotAnEvent` for one that no relay has written."""
    received = cast(list[tuple[str, bytes | None]], message.headers() or [])
    try:
        headers = {name: _text(value) for name, value in received}
        return ReceivedEvent(
            tenant_id=headers.pop(TENANT_ID),
            dedupe_key=headers.pop(DEDUPE_KEY),
            event_id=int(headers.pop(EVENT_ID)),
            created_at=_EPOCH + timedelta(microseconds=int(headers.pop(EVENT_CREATED_AT))),
            attempt=int(headers.pop(ATTEMPT)),
            traceparent=headers.pop(TRACEPARENT, None),
            replay=headers.pop(REPLAY, None),
            key=_text(message.key()),
            payload=message.value() or b"",
            topic=cast(str, message.topic()),
            partition=cast(int, message.partition()),
            offset=cast(int, message.offset()),
            headers={name: value for name, value in headers.items() if name != CONTENT_TYPE},
        )
    except (KeyError, ValueError) as error:
        where = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        raise NotAnEvent(f"The message at {where} was not written by the outbox: {error!r}.") from error


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _attempt(failed: int) -> Header:
    return _ATTEMPTS[failed] if failed < len(_ATTEMPTS) else (ATTEMPT, str(failed + 1))


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
