"""Everything that can be wrong with an event is found here, before its row is written.

What passes is accepted by every constraint of the table and fits into a message: neither does the caller's
transaction break, nor does an accepted event die later of what could have been known.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from outbox.enqueueing import headers, jsonb
from outbox.enqueueing.dedupe import new_key
from outbox.enqueueing.diagnosis import text_problem
from outbox.enqueueing.events import NewEvent
from outbox.enqueueing.excerpts import excerpt
from outbox.errors import InvalidEvent
from outbox.models.names import (
    DEFAULT_TENANT,
    KEY_MAX_LENGTH,
    TENANT_MAX_LENGTH,
    TENANT_PATTERN,
    TOPIC_MAX_LENGTH,
    TOPIC_PATTERN,
)

_is_tenant = re.compile(TENANT_PATTERN).fullmatch
_is_topic = re.compile(TOPIC_PATTERN).fullmatch

# What a relay adds to the headers of a message besides the tenant and the dedupe key.
_OWN_HEADER_BYTES = 200
# Later than this, a time zone east of Greenwich could push the time beyond what Python can say.
_LAST_YEAR = 9998


class Row(NamedTuple):
    """A valid event as it is written."""

    tenant_id: str
    topic: str
    partition_key: str
    dedupe_key: str
    payload: str
    headers: str
    available_at: datetime | None


def validate(event: NewEvent, *, max_message_bytes: int, current_trace: str | None) -> Row:
    """The row of an event. Raises `InvalidEvent` for the first thing wrong."""
    tenant_id = DEFAULT_TENANT if event.tenant_id is None else _tenant(event.tenant_id)
    topic = _topic(event.topic)
    partition_key = _key("partition_key", event.partition_key, at_least=0)
    dedupe_key = new_key() if event.dedupe_key is None else _key("dedupe_key", event.dedupe_key, at_least=1)
    if event.available_at is not None:
        _check_time(event.available_at)
    header_text, header_bytes = headers.serialise(event.headers, traceparent=event.traceparent, current=current_trace)
    used = _envelope_bytes(tenant_id, partition_key, dedupe_key) + header_bytes
    if used >= max_message_bytes:
        raise _too_large(header_bytes, max_message_bytes)
    payload = jsonb.serialise(event.payload, most_bytes=max_message_bytes - used)
    return Row(tenant_id, topic, partition_key, dedupe_key, payload, header_text, event.available_at)


def _tenant(tenant_id: Any) -> str:
    if not isinstance(tenant_id, str) or not _is_tenant(tenant_id) or len(tenant_id) > TENANT_MAX_LENGTH:
        raise InvalidEvent(
            "tenant_id",
            excerpt(tenant_id),
            f"a tenant is named by 1 to {TENANT_MAX_LENGTH} of A-Z a-z 0-9 . _ - and begins with a letter or digit",
            f'Map the name to such a one, or leave it out for "{DEFAULT_TENANT}"',
        )
    return _plain(tenant_id)


def _topic(topic: Any) -> str:
    if not isinstance(topic, str) or not _is_topic(topic) or len(topic) > TOPIC_MAX_LENGTH or topic in (".", ".."):
        raise InvalidEvent(
            "topic",
            excerpt(topic),
            f"Kafka names a topic by 1 to {TOPIC_MAX_LENGTH} of A-Z a-z 0-9 . _ - and neither . nor ..",
            "Choose another name",
        )
    return _plain(topic)


def _key(field: str, key: Any, *, at_least: int) -> str:
    if not isinstance(key, str):
        raise InvalidEvent(field, excerpt(key), "it must be a str", "Send str(value)")
    if not at_least <= len(key) <= KEY_MAX_LENGTH:
        reason = f"it must have {at_least} to {KEY_MAX_LENGTH} characters and has {len(key)}"
        raise InvalidEvent(field, excerpt(key), reason, "Shorten it, by a hash for example")
    if not key.isprintable() and (problem := text_problem(key)):
        raise InvalidEvent(field, excerpt(key), f"it contains {problem}", "Remove it")
    return _plain(key)


def _plain(text: str) -> str:
    """psycopg writes a member of an enumeration by its name, not by its value."""
    return text if type(text) is str else str.__str__(text)


def _check_time(available_at: Any) -> None:
    field, shown = "available_at", str(available_at)
    if not isinstance(available_at, datetime):
        raise InvalidEvent(field, excerpt(available_at), "it must be a datetime", "Send an aware datetime")
    if available_at.utcoffset() is None:
        raise InvalidEvent(field, shown, "a datetime without a time zone names no moment", "Use timezone.now()")
    try:
        year = available_at.astimezone(UTC).year
    except OverflowError:
        year = 0
    if not 1 <= year <= _LAST_YEAR:
        raise InvalidEvent(field, shown, f"it lies outside of the years 1 to {_LAST_YEAR}", "Send an earlier time")


def _envelope_bytes(tenant_id: str, partition_key: str, dedupe_key: str) -> int:
    """Bytes of the key `tenant:partition_key` and of the headers that the relay writes."""
    dedupe_bytes = _bytes(dedupe_key)
    key_bytes = _bytes(partition_key) or dedupe_bytes
    return 2 * len(tenant_id) + 1 + key_bytes + dedupe_bytes + _OWN_HEADER_BYTES


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _too_large(header_bytes: int, max_message_bytes: int) -> InvalidEvent:
    return InvalidEvent(
        "headers",
        f"<{header_bytes} bytes>",
        f"they leave no room for a payload in a message of {max_message_bytes} bytes",
        "Send less in headers; the limit is OUTBOX_MAX_MESSAGE_BYTES",
    )
