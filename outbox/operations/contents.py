"""What is in an event: its headers and its payload, as staff may see them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Case, F, JSONField, Value, When
from django.views.decorators.debug import sensitive_variables

from outbox import conf
from outbox.models import OutboxEvent
from outbox.operations import audit
from outbox.operations.audit import Operator
from outbox.redaction import Redactor

MOST_BYTES = 2_000_000
"""Larger payloads are not fetched for a page."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Contents:
    """Without a representation: that would stand in reports of errors."""

    headers: Any
    payload: Any
    """None when it was left out."""
    payload_bytes: int
    is_left_out: bool
    """Whether the payload is too large to be fetched for a page."""
    is_redacted: bool
    """Whether `OUTBOX_REDACT` hid something of it."""

    def indented(self) -> str:
        """The payload for people."""
        return json.dumps(self.payload, indent=2, ensure_ascii=False)


@sensitive_variables()
def contents(*, event_id: int, topic: str, using: str, most_bytes: int | None = MOST_BYTES) -> Contents | None:
    """What everybody may see who may see the event: without what `OUTBOX_REDACT` names."""
    found = _read(event_id, using, most_bytes)
    if found is None:
        return None
    redactor = Redactor(conf.get().redact, topic=topic)
    headers, payload = redactor.headers(found.headers), redactor.payload(found.payload)
    return Contents(
        headers=headers,
        payload=payload,
        payload_bytes=found.payload_bytes,
        is_left_out=found.is_left_out,
        is_redacted=(headers, payload) != (found.headers, found.payload),
    )


@sensitive_variables()
def reveal(
    *, event_id: int, by: Operator, reason: str, using: str, most_bytes: int | None = MOST_BYTES
) -> Contents | None:
    """All of it, for somebody whose right to it has been checked. Recorded in the same transaction, or not shown.

    None if there is no such event. Raises `NoReason`.
    """
    reason = audit.checked_reason(reason)
    with transaction.atomic(using=using):
        event = OutboxEvent.objects.using(using).filter(pk=event_id).values("tenant_id", "topic").first()
        found = _read(event_id, using, most_bytes)
        if event is None or found is None:
            return None
        audit.record(
            by=by,
            verb="reveal",
            using=using,
            reason=reason,
            filter={"ids": [event_id], "tenant": event["tenant_id"], "topic": event["topic"]},
            counts={"revealed": 1},
        )
    return found


@sensitive_variables()
def _read(event_id: int, using: str, most_bytes: int | None) -> Contents | None:
    payload: Any = F("payload")
    if most_bytes is not None:
        nothing = Value(None, JSONField())
        payload = Case(When(payload_bytes__lte=most_bytes, then=F("payload")), default=nothing)
    rows = OutboxEvent.objects.using(using).filter(pk=event_id).annotate(within=payload)
    row = rows.values_list("headers", "within", "payload_bytes").first()
    if row is None:
        return None
    headers, content, size = row
    return Contents(
        headers=headers,
        payload=content,
        payload_bytes=size,
        is_left_out=most_bytes is not None and size > most_bytes,
        is_redacted=False,
    )
