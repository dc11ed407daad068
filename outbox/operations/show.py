"""One event with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outbox import conf
from outbox.models import OutboxAttempt, OutboxEvent
from outbox.operations.contents import contents
from outbox.operations.filters import EventRow, Filter
from outbox.operations.listing import page

MOST_ATTEMPTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    at: datetime
    error_class: str
    code: int
    """librdkafka's."""
    message: str
    relay_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDetails:
    event: EventRow
    last_error: str
    kafka_partition: int | None
    """With the offset, the broker's receipt."""
    kafka_offset: int | None
    headers: Any
    payload: Any
    payload_bytes: int
    is_redacted: bool
    """Whether `OUTBOX_REDACT` hid something of headers or payload."""
    failed_attempts: tuple[FailedAttempt, ...]
    """The last hundred, the latest first. Those before a replay as well."""


def show(given: Filter, *, using: str | None = None) -> EventDetails | None:
    """The event that a number, or a tenant and a dedupe key, name; None if there is none.

    Without what `OUTBOX_REDACT` names: `contents.reveal` has it.
    """
    alias = using or conf.get().database
    found = page(given, limit=1, using=alias)
    if not found.rows:
        return None
    row = found.rows[0]
    columns = ("last_error", "kafka_partition", "kafka_offset")
    values = OutboxEvent.objects.using(alias).filter(pk=row.event_id).values_list(*columns).first()
    within = contents(event_id=row.event_id, topic=row.topic, using=alias, most_bytes=None)
    if values is None or within is None:
        return None
    last_error, partition, offset = values
    return EventDetails(
        event=row,
        last_error=last_error,
        kafka_partition=partition,
        kafka_offset=offset,
        headers=within.headers,
        payload=within.payload,
        payload_bytes=within.payload_bytes,
        is_redacted=within.is_redacted,
        failed_attempts=failed_attempts(row.event_id, using=alias),
    )


def failed_attempts(event_id: int, *, using: str) -> tuple[FailedAttempt, ...]:
    """The event's last failed attempts, the latest first."""
    attempts = OutboxAttempt.objects.using(using).filter(event_id=event_id).order_by("-at", "-id")
    rows = attempts.values_list("at", "error_class", "code", "message", "relay_id")[:MOST_ATTEMPTS]
    return tuple(
        FailedAttempt(at=at, error_class=kind, code=code, message=message, relay_id=str(relay))
        for at, kind, code, message, relay in rows
    )
