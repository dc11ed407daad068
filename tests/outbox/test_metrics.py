from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from prometheus_client import CollectorRegistry
from pytest_django import DjangoAssertNumQueries

from outbox import metrics, sql
from outbox.metrics import OTHERS, OutboxCollector
from outbox.models import EventStatus, OutboxEvent, OutboxRelay

pytestmark = pytest.mark.django_db


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def store(tenant_id: str, *, events: int = 1, status: EventStatus = EventStatus.PENDING, age: float = 0) -> None:
    made = OutboxEvent.objects.bulk_create(
        OutboxEvent(
            tenant_id=tenant_id,
            topic="news",
            dedupe_key=f"{tenant_id}-{status}-{number}",
            payload={},
            status=status,
        )
        for number in range(events)
    )
    OutboxEvent.objects.filter(pk__in=[each.pk for each in made]).update(created_at=Now() - timedelta(seconds=age))


def values(collector: OutboxCollector, name: str) -> dict[str, float]:
    return {
        sample.labels.get("tenant_id", ""): sample.value
        for metric in collector.collect()
        for sample in metric.samples
        if sample.name == name
    }


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse() -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(metrics, "read_snapshot", refuse)
        yield


def test_backlogs_are_told_by_tenant_and_status() -> None:
    store("acme", events=3, age=60)
    store("zeta", events=2, age=5)
    store("acme", events=4, status=EventStatus.FAILED)
    store("quiet", events=5, status=EventStatus.SENT)
    collector = OutboxCollector()
    assert values(collector, "outbox_pending") == {"acme": 3, "zeta": 2}
    assert values(collector, "outbox_events_failed") == {"acme": 4}
    assert values(collector, "outbox_tenants_pending") == {"": 2}
    assert values(collector, "outbox_scrape_success") == {"": 1}


def test_the_age_is_that_of_the_oldest_event() -> None:
    store("acme", age=60)
    store("zeta", age=0)
    ages = values(OutboxCollector(), "outbox_oldest_pending_age_seconds")
    assert ages["acme"] == pytest.approx(60, abs=30)
    assert ages["zeta"] < ages["acme"]


def test_an_empty_outbox_has_no_backlogs() -> None:
    collector = OutboxCollector()
    assert values(collector, "outbox_pending") == {}
    assert values(collector, "outbox_tenants_pending") == {"": 0}


def test_only_the_tenants_that_wait_longest_have_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LABELLED_TENANTS", 2)
    for number in range(5):
        store(f"t{number}", events=number + 1, age=number)
    collector = OutboxCollector()
    assert values(collector, "outbox_pending") == {"t4": 5, "t3": 4, OTHERS: 1 + 2 + 3}
    assert values(collector, "outbox_tenants_pending") == {"": 5}


def test_counts_stop_at_their_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LABELLED_TENANTS", 1)
    monkeypatch.setattr(metrics, "COUNT_CAP", 3)
    monkeypatch.setattr(metrics, "COUNT_CAP_OF_OTHERS", 2)
    store("old", events=5, age=60)
    store("young", events=5)
    assert values(OutboxCollector(), "outbox_pending") == {"old": 3, OTHERS: 2}


def test_only_relays_that_live_are_counted() -> None:
    OutboxRelay.objects.create(host="a", pid=1, version="1")
    dead = OutboxRelay.objects.create(host="b", pid=2, version="1")
    OutboxRelay.objects.filter(pk=dead.pk).update(heartbeat_at=Now() - timedelta(minutes=5))
    assert values(OutboxCollector(), "outbox_relays") == {"": 1}


def test_figures_are_read_again_only_when_they_are_old(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    clock = Clock()
    collector = OutboxCollector(cache_seconds=10, clock=clock)
    list(collector.collect())
    store("acme")
    clock.now = 9
    with django_assert_num_queries(0):
        assert values(collector, "outbox_pending") == {}
    clock.now = 10
    assert values(collector, "outbox_pending") == {"acme": 1}


def test_a_failed_look_leaves_the_last_figures_and_is_not_repeated_at_once(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    collector = OutboxCollector(cache_seconds=10, clock=clock)
    store("acme")
    list(collector.collect())
    request.getfixturevalue("broken")
    clock.now = 10
    assert values(collector, "outbox_scrape_success") == {"": 0}
    assert values(collector, "outbox_pending") == {"acme": 1}
    assert len(caplog.records) == 1


def test_a_first_look_that_fails_says_so(broken: None) -> None:
    collector = OutboxCollector()
    assert values(collector, "outbox_scrape_success") == {"": 0}
    assert values(collector, "outbox_pending") == {}


@pytest.mark.django_db(transaction=True)
def test_a_slow_database_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "STATEMENT_TIMEOUT", timedelta(milliseconds=50))
    monkeypatch.setattr(sql, "load", lambda name: "SELECT pg_sleep(60)")
    assert values(OutboxCollector(), "outbox_scrape_success") == {"": 0}
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_registering_reads_nothing(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        CollectorRegistry(auto_describe=True).register(OutboxCollector())


def test_scrapes_at_the_same_time_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    both = threading.Barrier(2)

    def look() -> metrics.Snapshot:
        looks.append(1)
        return metrics.Snapshot(pending=(), failed=(), relays=0)

    monkeypatch.setattr(metrics, "read_snapshot", look)
    collector = OutboxCollector()

    def scrape() -> None:
        both.wait()
        list(collector.collect())

    threads = [threading.Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(looks) == 1


def test_the_look_never_scans_the_table() -> None:
    store("acme", events=100)
    metrics.read_snapshot()
    with connection.cursor() as cursor:
        # In a small table every index costs the same, and which one is taken is chance.
        cursor.execute(
            "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload, status)"
            " SELECT 'tenant-' || n % 100, 'news', 'many-' || n, '1', (ARRAY['sent', 'pending'])[1 + n % 2]"
            " FROM generate_series(1, 20000) n"
        )
        cursor.execute("ANALYZE outbox_events")
        cursor.execute(
            "EXPLAIN " + sql.load("backlog"),
            {"status": "pending", "top": 200, "cap": 10_000, "cap_of_others": 100},
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan on outbox_events" not in plan
    assert plan.count("ix_outbox_status_tenant_created") == 3
