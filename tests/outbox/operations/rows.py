"""Events as operators find them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from outbox.models import ActionSource, EventStatus, OutboxEvent
from outbox.operations.audit import Operator

ANN = Operator(name="ann", source=ActionSource.ADMIN, address="192.0.2.1")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def event(second: int = 0, **columns: Any) -> OutboxEvent:
    """An event of `acme`, created so many seconds after `BEGAN`."""
    values: dict[str, Any] = {
        "tenant_id": "acme",
        "topic": "orders",
        "dedupe_key": uuid4().hex,
        "payload": {"n": second},
        "created_at": BEGAN + timedelta(seconds=second),
        **columns,
    }
    if values.get("status") == EventStatus.SCHEDULED:
        values.setdefault("available_at", datetime(2100, 1, 1, tzinfo=UTC))
    return OutboxEvent.objects.create(**values)


def failed(second: int = 0, **columns: Any) -> OutboxEvent:
    """A dead letter."""
    dead = {"status": EventStatus.FAILED, "attempts": 20, "error_class": "topic", "last_error": "Unknown topic"}
    return event(second, **{**dead, **columns})


def status(row: OutboxEvent) -> str:
    return OutboxEvent.objects.values_list("status", flat=True).get(pk=row.pk)
