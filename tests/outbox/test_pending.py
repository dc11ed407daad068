"""What waits: read in order, tenants by how long they have waited, nothing changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox.api import PendingEvent, get_pending_events, get_pending_events_by_tenant_batch
from outbox.models import EventStatus, OutboxEvent

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 1, tzinfo=UTC)


def waiting(tenant_id: str, *, since: int, count: int = 1, **changes: Any) -> list[OutboxEvent]:
    """Events of a tenant, one a second, the oldest `since` seconds after the start."""
    first = OutboxEvent.objects.count()
    return OutboxEvent.objects.bulk_create(
        OutboxEvent(
            **{
                "tenant_id": tenant_id,
                "topic": "orders",
                "payload": {"n": n},
                "dedupe_key": f"event-{first + n}",
                "created_at": START + timedelta(seconds=since + n),
                **changes,
            }
        )
        for n in range(count)
    )


def ids(events: tuple[PendingEvent, ...]) -> list[int]:
    return [event.event_id for event in events]


def test_an_event_comes_with_all_that_a_reader_needs() -> None:
    (row,) = waiting("acme", since=0, partition_key="17", headers={"source": "shop"}, payload={"a": [1, None]})
    expected = PendingEvent(
        event_id=row.pk,
        tenant_id="acme",
        topic="orders",
        partition_key="17",
        dedupe_key="event-0",
        payload={"a": [1, None]},
        headers={"source": "shop"},
        attempts=0,
        created_at=START,
    )
    assert get_pending_events() == (expected,)
    assert get_pending_events(tenant_id="acme") == (expected,)
    assert get_pending_events_by_tenant_batch() == {"acme": (expected,)}


def test_the_oldest_events_of_a_tenant_come_first() -> None:
    second = waiting("acme", since=50, count=3)
    first = waiting("acme", since=10, count=2)
    waiting("globex", since=0, count=9)
    assert ids(get_pending_events(tenant_id="acme", limit=4)) == [row.pk for row in first + second[:2]]


def test_the_oldest_events_of_all_tenants_come_first() -> None:
    for number in range(8):
        waiting(f"tenant-{number}", since=number * 3, count=20)
    oldest = list(OutboxEvent.objects.order_by("created_at", "id").values_list("pk", flat=True))
    for limit in (1, 3, 8, 20, 160, 500):
        assert ids(get_pending_events(limit=limit)) == oldest[:limit]


def test_events_created_at_the_same_moment_come_by_id() -> None:
    rows = waiting("b", since=0) + waiting("a", since=0) + waiting("b", since=0)
    assert ids(get_pending_events()) == [row.pk for row in rows]


@pytest.mark.parametrize("status", set(EventStatus) - {EventStatus.PENDING})
def test_only_pending_events_wait(status: EventStatus) -> None:
    waiting("acme", since=0, status=status, available_at=START)
    assert get_pending_events() == ()
    assert get_pending_events(tenant_id="acme") == ()
    assert get_pending_events_by_tenant_batch() == {}


def test_tenants_come_by_how_long_they_have_waited_and_not_by_name_or_backlog() -> None:
    waiting("a-noisy", since=100, count=50)
    waiting("b-late", since=500, count=1)
    waiting("y-second", since=20, count=2)
    waiting("z-first", since=10, count=1)
    batches = get_pending_events_by_tenant_batch(limit_per_tenant=5, max_tenants=3)
    assert [(tenant, len(events)) for tenant, events in batches.items()] == [
        ("z-first", 1),
        ("y-second", 2),
        ("a-noisy", 5),
    ]


def test_a_batch_holds_the_tenants_oldest_events_in_order() -> None:
    rows = waiting("acme", since=0, count=10)
    assert ids(get_pending_events_by_tenant_batch(limit_per_tenant=4)["acme"]) == [row.pk for row in rows[:4]]


def test_reading_is_one_statement_and_changes_nothing() -> None:
    waiting("acme", since=0, count=3)
    before = list(OutboxEvent.objects.values())
    for read in (get_pending_events, lambda: get_pending_events(tenant_id="acme"), get_pending_events_by_tenant_batch):
        with CaptureQueriesContext(connection) as queries:
            read()
        assert len(queries) == 1
    assert list(OutboxEvent.objects.values()) == before


@pytest.mark.parametrize("limit", [0, -1])
def test_limits_below_one_are_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit={limit}"):
        get_pending_events(limit=limit)
    with pytest.raises(ValueError, match=f"limit_per_tenant={limit}"):
        get_pending_events_by_tenant_batch(limit_per_tenant=limit)
    with pytest.raises(ValueError, match=f"max_tenants={limit}"):
        get_pending_events_by_tenant_batch(max_tenants=limit)
