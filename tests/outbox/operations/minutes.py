"""Minutes as relays and counts write them, for tests of those who read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from outbox.models import BacklogCount, MinuteCount, TenantBacklog


def this_minute() -> datetime:
    """That of the test's transaction, which does not pass."""
    return _now().replace(second=0, microsecond=0)


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        ((found,),) = cursor.fetchall()
    now: datetime = found
    return now


def minute(tenant: str, ago: int = 0, **columns: Any) -> None:
    """A row of so many minutes ago, and what it adds to its quarter of an hour."""
    values: dict[str, Any] = {"latency": [], **columns}
    began = this_minute() - timedelta(minutes=ago)
    MinuteCount.objects.create(tenant_id=tenant, minute=began, **values)
    quarter, _ = MinuteCount.objects.get_or_create(
        tenant_id=tenant, step=15, minute=began.replace(minute=began.minute // 15 * 15)
    )
    for name, value in values.items():
        setattr(quarter, name, value if name in ("waiting", "latency") else getattr(quarter, name) + value)
    quarter.save()


def counted(tenants: Mapping[str, Mapping[str, Any]], *, seconds_ago: float = 0) -> None:
    """As the last count found these tenants."""
    taken_at = _now() - timedelta(seconds=seconds_ago)
    for tenant, columns in tenants.items():
        TenantBacklog.objects.create(tenant_id=tenant, taken_at=taken_at, **columns)
    oldest = [columns["oldest_pending_at"] for columns in tenants.values() if columns.get("oldest_pending_at")]
    BacklogCount.objects.create(
        taken_at=taken_at,
        next_at=datetime(2100, 1, 1, tzinfo=UTC),
        tenants=sum(bool(columns.get("pending")) for columns in tenants.values()),
        oldest_pending_at=min(oldest, default=None),
        **{
            name: sum(columns.get(name, 0) for columns in tenants.values())
            for name in ("pending", "scheduled", "failed")
        },
    )
