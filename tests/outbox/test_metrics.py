from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django_q.conf import Conf
from django_q.models import OrmQ
from prometheus_client import CollectorRegistry
from pytest_django import DjangoAssertNumQueries, Settings

from circuits import scraping
from circuits.names import OTHER_TENANTS
from outbox import counting, metrics, sql
from outbox.metrics import OutboxCollector
from outbox.models import JobState, OutboxJob, OutboxRelay, TenantPolicy
from outbox.models.names import EVERY_TENANT
from outbox.operations import task_queue
from outbox.operations.backlog import Backlog, Totals
from outbox.operations.freshness import COUNT_AFTER
from tests.outbox.relay.conftest import Tables

pytestmark = pytest.mark.django_db


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def due(tables: Tables) -> None:
    tables.execute("UPDATE outbox_backlog_counts SET next_at = '2001-01-01', taken_at = '2001-01-01'")


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


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


def test_backlogs_are_told_by_tenant_and_status(tables: Tables) -> None:
    tables.add("k", "k", "k", created_at=ago(60))
    tables.add("k", "k", tenant="zeta", created_at=ago(5))
    tables.add(*"kkkk", status="failed")
    tables.add(*"kk", tenant="later", status="scheduled", available_at="2100-01-01")
    tables.add(*"kkkkk", tenant="quiet", status="sent")
    collector = OutboxCollector()
    assert values(collector, "outbox_pending") == {"acme": 3, "zeta": 2}
    assert values(collector, "outbox_scheduled") == {"later": 2}
    assert values(collector, "outbox_events_failed") == {"acme": 4}
    assert values(collector, "outbox_tenants_pending") == {"": 2}
    assert values(collector, "outbox_scrape_success") == {"": 1}


def test_what_waits_behind_an_open_circuit_is_told(tables: Tables) -> None:
    tables.add("k", "k")
    tables.add("k", tenant="zeta")
    tables.execute(
        "INSERT INTO circuits_tenant_circuits (tenant_id, name, override) VALUES ('acme', 'publish', 'forced_open')"
    )
    assert values(OutboxCollector(), "outbox_blocked_events") == {"acme": 2}


def test_the_age_is_that_of_the_oldest_event(tables: Tables) -> None:
    tables.add("k", created_at=ago(60))
    tables.add("k", created_at=ago(5))
    tables.add("k", tenant="zeta")
    ages = values(OutboxCollector(), "outbox_oldest_pending_age_seconds")
    assert ages["acme"] == pytest.approx(60, abs=30)
    assert 0 <= ages["zeta"] < ages["acme"]


def test_an_empty_outbox_has_no_backlogs(tables: Tables) -> None:
    collector = OutboxCollector()
    assert values(collector, "outbox_pending") == {}
    assert values(collector, "outbox_tenants_pending") == {"": 0}


def test_only_the_tenants_that_wait_longest_have_a_label(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LABELLED_TENANTS", 2)
    for number in range(5):
        tables.add(*["k"] * (number + 1), tenant=f"t{number}", created_at=ago(1_000 * number))
    collector = OutboxCollector()
    assert values(collector, "outbox_pending") == {"t4": 5, "t3": 4, OTHER_TENANTS: 1 + 2 + 3}
    assert values(collector, "outbox_tenants_pending") == {"": 5}
    ages = values(collector, "outbox_oldest_pending_age_seconds")
    assert ages[OTHER_TENANTS] == pytest.approx(2_000, abs=500)


def test_of_dead_letters_the_tenants_with_most_have_a_label(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LABELLED_TENANTS", 1)
    for tenant, events in (("few", 1), ("many", 3), ("some", 2)):
        tables.add(*["k"] * events, tenant=tenant, status="failed")
    assert values(OutboxCollector(), "outbox_events_failed") == {"many": 3, OTHER_TENANTS: 3}


def test_a_count_of_a_moment_ago_is_read_and_not_made_again(tables: Tables) -> None:
    tables.add("k")
    assert values(OutboxCollector(), "outbox_pending") == {"acme": 1}
    tables.add("k")
    collector = OutboxCollector()
    assert values(collector, "outbox_pending") == {"acme": 1}
    assert 0 <= values(collector, "outbox_backlog_age_seconds")[""] < COUNT_AFTER.total_seconds()
    due(tables)
    assert values(OutboxCollector(), "outbox_pending") == {"acme": 2}


def test_before_the_first_count_there_are_no_figures(tables: Tables) -> None:
    assert counting.claim(tables.session) is not None
    collector = OutboxCollector()
    assert values(collector, "outbox_tenants_pending") == {}
    assert values(collector, "outbox_relays") == {"": 0}
    assert values(collector, "outbox_scrape_success") == {"": 1}


def test_a_count_that_fails_leaves_the_last_figures(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*, alias: str) -> bool:
        raise psycopg.OperationalError("too many connections")

    clock = Clock()
    collector = OutboxCollector(cache_seconds=10, clock=clock)
    tables.add("k")
    list(collector.collect())
    due(tables)
    monkeypatch.setattr(counting, "count_if_due", fail)
    clock.now = 10
    assert values(collector, "outbox_scrape_success") == {"": 0}
    assert values(collector, "outbox_pending") == {"acme": 1}


@pytest.mark.django_db(transaction=True)
def test_the_task_queues_longest_wait_is_told() -> None:
    assert values(OutboxCollector(), "outbox_task_queue_wait_seconds") == {"": 0}
    OrmQ.objects.create(key=Conf.CLUSTER_NAME, payload="", lock=ago(120))
    assert values(OutboxCollector(), "outbox_task_queue_wait_seconds")[""] == pytest.approx(120, abs=60)


def test_a_task_queue_that_does_not_answer_hides_nothing_else(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("locked")

    monkeypatch.setattr(task_queue, "longest_wait", fail)
    tables.add("k")
    collector = OutboxCollector()
    assert values(collector, "outbox_task_queue_wait_seconds") == {}
    assert values(collector, "outbox_pending") == {"acme": 1}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("queue", ["elsewhere", "not installed"])
def test_a_task_queue_outside_of_the_database_is_not_told(monkeypatch: pytest.MonkeyPatch, queue: str) -> None:
    if queue == "elsewhere":
        monkeypatch.setattr(Conf, "ORM", None)
    else:
        monkeypatch.setattr("django.apps.apps.is_installed", lambda name: False)
    assert values(OutboxCollector(), "outbox_task_queue_wait_seconds") == {}


@pytest.mark.django_db(transaction=True)
def test_only_relays_that_live_are_counted(settings: Settings) -> None:
    settings.OUTBOX_LEASE_SECONDS = 60
    OutboxRelay.objects.create(host="a", pid=1, version="1")
    dead = OutboxRelay.objects.create(host="b", pid=2, version="1")
    OutboxRelay.objects.filter(pk=dead.pk).update(heartbeat_at=Now() - timedelta(minutes=5))
    assert values(OutboxCollector(), "outbox_relays") == {"": 1}


@pytest.mark.django_db(transaction=True)
def test_pauses_are_told() -> None:
    assert (values(OutboxCollector(), "outbox_paused"), values(OutboxCollector(), "outbox_tenants_paused")) == (
        {"": 0},
        {"": 0},
    )
    for tenant in (EVERY_TENANT, "acme", "zeta"):
        TenantPolicy.objects.create(tenant_id=tenant, paused=True)
    TenantPolicy.objects.create(tenant_id="over", paused=True, paused_until=ago(10))
    assert values(OutboxCollector(), "outbox_paused") == {"": 1}
    assert values(OutboxCollector(), "outbox_tenants_paused") == {"": 2}


def test_figures_are_read_again_only_when_they_are_old(
    tables: Tables, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    clock = Clock()
    collector = OutboxCollector(cache_seconds=10, clock=clock)
    list(collector.collect())
    tables.add("k")
    due(tables)
    clock.now = 9
    with django_assert_num_queries(0):
        assert values(collector, "outbox_pending") == {}
    clock.now = 10
    assert values(collector, "outbox_pending") == {"acme": 1}


def test_a_failed_look_leaves_the_last_figures_and_is_not_repeated_at_once(
    tables: Tables, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    collector = OutboxCollector(cache_seconds=10, clock=clock)
    tables.add("k")
    list(collector.collect())
    request.getfixturevalue("broken")
    clock.now = 10
    assert values(collector, "outbox_scrape_success") == {"": 0}
    assert values(collector, "outbox_pending") == {"acme": 1}
    assert len([each for each in caplog.records if each.name == scraping.__name__]) == 1


def test_a_first_look_that_fails_says_so(broken: None) -> None:
    collector = OutboxCollector()
    assert values(collector, "outbox_scrape_success") == {"": 0}
    assert values(collector, "outbox_pending") == {}


@pytest.mark.django_db(transaction=True)
def test_a_slow_database_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping, "STATEMENT_TIMEOUT", timedelta(milliseconds=50))
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
    nothing = Backlog(taken_at=None, read_at=None, tenants=(), totals=Totals())
    both = threading.Barrier(2)

    def look() -> metrics.Snapshot:
        looks.append(1)
        return metrics.Snapshot(backlog=nothing, relays=0, task_queue_wait=None)

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


@pytest.mark.django_db(transaction=True)
def test_jobs_are_counted_by_state() -> None:
    rows = [OutboxJob.objects.create(verb="replay", reason="x", source="admin") for _ in range(2)]
    OutboxJob.objects.filter(pk=rows[0].pk).update(offered_at="2020-01-01T00:00Z")
    found = list(OutboxCollector().collect())
    (jobs,) = (each for each in found if each.name == "outbox_jobs")
    assert {sample.labels["state"]: sample.value for sample in jobs.samples} == {
        **dict.fromkeys(JobState.values, 0),
        "queued": 2,
    }
    (stuck,) = (each for each in found if each.name == "outbox_jobs_stuck")
    assert stuck.samples[0].value == 1
