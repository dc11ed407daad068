from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import OperationalError
from django.utils import timezone
from prometheus_client import REGISTRY
from pytest_django import Settings

from circuits.sessions import open_session
from outbox import sql
from outbox.api import enqueue
from outbox.models import EventStatus, OutboxAttempt, OutboxEvent, TenantPolicy
from outbox.operations import prune as module
from outbox.operations.discard import discard
from outbox.operations.filters import Filter
from outbox.operations.prune import LOCK, AlreadyPruning, Pruned, prune
from tests.outbox.operations.rows import ANN, event
from tests.outbox.relay.conftest import Tables
from tests.support.plans import plan
from tests.support.sessions import sessions

pytestmark = pytest.mark.django_db

SENT, DISCARDED, FAILED = EventStatus.SENT, EventStatus.DISCARDED, EventStatus.FAILED


@pytest.fixture(autouse=True)
def a_month(settings: Settings) -> None:
    settings.OUTBOX_RETENTION_DAYS = 30


def old(days: float, status: EventStatus = SENT, **columns: Any) -> OutboxEvent:
    """An event to which everything happened so many days ago."""
    at = timezone.now() - timedelta(days=days)
    columns = {"created_at": at, **({"sent_at": at} if status == SENT else {}), **columns}
    return event(status=status, **columns)


def run(**arguments: Any) -> Pruned:
    return prune(rest=lambda seconds: None, **arguments)


def left() -> set[int]:
    return set(OutboxEvent.objects.values_list("id", flat=True))


# What goes and what stays


@pytest.mark.parametrize("status", [SENT, DISCARDED])
def test_what_is_over_goes_and_what_is_younger_stays(status: EventStatus) -> None:
    old(31, status)
    young = old(29, status)
    done = run()
    assert left() == {young.pk}
    assert (done.events, done.total, done.finished) == ({status.value: 1}, 1, True)


@pytest.mark.parametrize("status", [EventStatus.PENDING, EventStatus.SCHEDULED, FAILED])
def test_what_may_still_be_published_stays_for_ever(status: EventStatus) -> None:
    kept = old(10_000, status)
    assert run().total == 0
    assert left() == {kept.pk}


def test_a_policy_decides_for_its_tenant() -> None:
    TenantPolicy.objects.create(tenant_id="short", retention_days=2)
    TenantPolicy.objects.create(tenant_id="long", retention_days=2_147_483_647)
    TenantPolicy.objects.create(tenant_id="silent")
    stays = {old(1, tenant_id="short").pk, old(10_000, tenant_id="long").pk, old(29, tenant_id="silent").pk}
    for tenant, days in (("short", 3), ("silent", 31)):
        old(days, tenant_id=tenant)
    assert run().total == 2
    assert left() == stays


def test_without_a_retention_only_policies_count(settings: Settings) -> None:
    settings.OUTBOX_RETENTION_DAYS = None
    TenantPolicy.objects.create(tenant_id="short", retention_days=2)
    kept = old(10_000)
    old(3, tenant_id="short")
    assert run().total == 1
    assert left() == {kept.pk}


def test_dead_letters_have_a_retention_of_their_own(settings: Settings) -> None:
    settings.OUTBOX_DEAD_LETTER_RETENTION_DAYS = 90
    TenantPolicy.objects.create(tenant_id="acme", retention_days=1)
    old(91, FAILED)
    young = old(89, FAILED)
    assert run().events == {"failed": 1}
    assert left() == {young.pk}


def test_time_counts_from_what_happened_last() -> None:
    """A tenant was paused for months; an event was given up, or failed, a moment ago."""
    kept = {old(100, sent_at=timezone.now()).pk, old(100, DISCARDED, discarded_at=timezone.now()).pk}
    tried = old(100, DISCARDED)
    OutboxAttempt.objects.create(event=tried, relay_id=uuid4(), error_class="topic", code=3, message="Unknown topic")
    assert run().total == 0
    assert left() == {*kept, tried.pk}


def test_what_is_discarded_today_can_be_replayed_for_as_long_as_any_other() -> None:
    event_id = old(100, FAILED).pk
    discard(Filter(ids=(event_id,)), by=ANN, reason="a mistake")
    run()
    assert left() == {event_id}


def test_attempts_go_with_their_event() -> None:
    gone, kept = old(31), old(29)
    for each in (gone, kept):
        attempt = OutboxAttempt.objects.create(event=each, relay_id=uuid4(), error_class="broker", code=1, message="")
        OutboxAttempt.objects.filter(pk=attempt.pk).update(at=each.created_at)
    run()
    assert list(OutboxAttempt.objects.values_list("event_id", flat=True)) == [kept.pk]


def test_the_dedupe_key_is_free_again() -> None:
    old(31, dedupe_key="order-17")

    def is_new() -> bool:
        return enqueue(topic="orders", payload={}, tenant_id="acme", dedupe_key="order-17").created

    assert not is_new()
    run()
    assert is_new()


# How it goes about it


def test_batches_are_small_with_rests_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for _ in range(5):
        old(31)
    rests: list[float] = []
    seen: list[int] = []
    moments = iter(range(1_000))
    done = prune(rest=rests.append, progress=lambda so_far: seen.append(so_far.total), clock=lambda: next(moments))
    assert (done.total, seen) == (5, [2, 4, 5])
    assert rests == [module.REST] * 3


def test_events_of_one_moment_are_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    at = timezone.now() - timedelta(days=31)
    for _ in range(5):
        old(31, created_at=at)
    assert run().total == 5


def test_tenants_are_found_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TENANTS", 2)
    for name in "abcde":
        old(31, tenant_id=name)
    assert run().total == 5


def test_a_limit_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for _ in range(5):
        old(31)
    done = run(limit=3)
    assert (done.total, done.finished, len(left())) == (3, False, 2)
    assert run(limit=3).finished


def test_time_that_is_up_ends_the_run_after_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 1)
    for _ in range(5):
        old(31)
    moments = iter(range(1_000))
    done = run(seconds=5, clock=lambda: next(moments))
    assert 0 < done.total < 5
    assert not done.finished


def test_a_tenant_whose_old_events_were_sent_lately_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 1)
    monkeypatch.setattr(module, "FUTILE_BATCHES", 3)
    for _ in range(10):
        old(100, tenant_id="paused-till-today", sent_at=timezone.now())
    old(31, tenant_id="zeta")
    looks: list[Pruned] = []
    assert run(progress=looks.append).total == 1
    assert len(looks) == 4


def test_a_dry_run_counts_and_changes_nothing(settings: Settings) -> None:
    settings.OUTBOX_DEAD_LETTER_RETENTION_DAYS = 30
    kept = {old(31).pk, old(31).pk, old(31, DISCARDED).pk, old(31, FAILED).pk, old(29).pk}
    before = REGISTRY.get_sample_value("outbox_pruned_total", {"status": "sent"})
    assert run(dry_run=True).events == {"sent": 2, "discarded": 1, "failed": 1}
    assert left() == kept
    assert REGISTRY.get_sample_value("outbox_pruned_total", {"status": "sent"}) == before


def test_deleted_events_are_counted() -> None:
    before = REGISTRY.get_sample_value("outbox_pruned_total", {"status": "sent"}) or 0
    old(31)
    run()
    assert REGISTRY.get_sample_value("outbox_pruned_total", {"status": "sent"}) == before + 1


# Beside others


@pytest.fixture
def another_pruner() -> Iterator[None]:
    with open_session("default", name="another pruner") as session, session.transaction():
        session.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        yield


def test_one_process_prunes_at_a_time(another_pruner: None) -> None:
    old(31)
    with pytest.raises(AlreadyPruning, match="another process prunes"):
        run()
    assert run(dry_run=True).total == 1


def test_the_next_run_may_begin_when_one_has_failed() -> None:
    old(31)

    def fail(so_far: Pruned) -> None:
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        run(progress=fail)
    run()


@pytest.mark.django_db(transaction=True)
def test_the_lock_holds_no_old_rows_back(tables: Tables) -> None:
    tables.add("k", status="sent", created_at="2001-01-01")
    seen = []

    def look(so_far: Pruned) -> None:
        seen.extend(
            tables.execute(
                "SELECT backend_xmin, backend_xid FROM pg_stat_activity"
                " WHERE application_name = 'outbox prune' AND datname = current_database()"
            )
        )

    run(progress=look)
    assert seen == [{"backend_xmin": None, "backend_xid": None}]


def test_a_database_that_refuses_the_session_is_djangos_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(alias: str, *, name: str) -> Any:
        raise psycopg.OperationalError("too many connections")

    monkeypatch.setattr(module, "open_session", refuse)
    with pytest.raises(OperationalError, match="too many connections"):
        run()


@pytest.mark.django_db(transaction=True)
def test_what_somebody_else_has_locked_is_left_to_the_next_run() -> None:
    locked, free = old(32), old(31)
    with sessions(1) as (other,):
        other.begin()
        other.execute(f"SELECT FROM outbox_events WHERE id = {locked.pk} FOR UPDATE")
        done = run()
        assert (done.total, done.finished) == (1, True)
        assert left() == {locked.pk}
        other.roll_back()
    assert free.pk not in left()
    assert run().total == 1


@pytest.mark.django_db(transaction=True)
def test_an_event_that_is_being_replayed_survives() -> None:
    replayed = old(31)
    with sessions(1) as (other,):
        other.begin()
        other.do(OutboxEvent.objects.filter(pk=replayed.pk).update, status=EventStatus.PENDING)
        assert run().total == 0
        other.commit()
    assert run().total == 0
    assert left() == {replayed.pk}


# At size


@pytest.fixture
def many(tables: Tables) -> Tables:
    tables.execute(
        "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload, status, created_at, sent_at)"
        " SELECT 'tenant-' || lpad((n % 20)::text, 2, '0'), 'news', 'many-' || n, '1',"
        " (ARRAY['sent', 'pending', 'discarded', 'sent'])[1 + n / 20 % 4],"
        " timestamptz '2020-01-01' + n * interval '1 s', timestamptz '2020-01-02'"
        " FROM generate_series(1, 40000) n"
    )
    tables.execute("ANALYZE outbox_events")
    return tables


BY_INDEX = (
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
)


@pytest.mark.parametrize("statement", ["prune_events", "prune_preview"])
def test_a_batch_is_read_in_the_indexs_order_and_deleted_by_key(many: Tables, statement: str) -> None:
    many.execute(BY_INDEX)
    since = timezone.now()
    params = {"status": "sent", "tenant": "tenant-07", "at": "2020-01-01", "id": 0, "since": since, "limit": 100}
    found = plan(many.session, sql.load(statement), params)
    assert "ix_outbox_status_tenant_created" in found.indexes
    assert found.indexes - {"ix_outbox_status_tenant_created"} <= {"outbox_events_pkey", _attempts_of_event(many)}
    assert found.scans() == []
    assert found.rows_read() <= 100 + 64


def test_tenants_cost_a_step_each(many: Tables) -> None:
    many.execute(BY_INDEX)
    params = {"status": "sent", "days": 30, "by_policy": True, "after": "", "limit": 1_000}
    found = plan(many.session, sql.load("prune_tenants"), params)
    assert "outbox_events" not in found.scans()
    assert found.rows_read() <= 20


@pytest.mark.django_db(transaction=True)
def test_thousands_go_in_one_run(many: Tables) -> None:
    done = run()
    assert done.events == {"sent": 20_000, "discarded": 10_000}
    assert many.count("pending") == 10_000


def _attempts_of_event(tables: Tables) -> str:
    name: str = tables.one("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%outbox_attempts%(event_id)'")
    return name
