"""Figures, each with the time it was taken."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from outbox.models import EventStatus, OutboxRelay, TenantPolicy
from outbox.operations import backlog, stats
from outbox.operations.backlog import Backlog, TenantFigures, Totals
from outbox.operations.listing import database_now
from outbox.operations.stats import Total
from tests.outbox.operations.rows import BEGAN, event

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> Backlog:
    """A count of two pending events; counting is tested where it is done."""
    figures = TenantFigures(tenant_id="acme", pending=2, oldest_pending_at=BEGAN, failed=1)
    totals = Totals(pending=2, oldest_pending_at=BEGAN, failed=1, tenants=1)
    found = Backlog(taken_at=BEGAN, read_at=BEGAN, tenants=(figures,), totals=totals)
    monkeypatch.setattr(backlog, "snapshot", lambda **_: found)
    return found


def totals() -> dict[str, Total]:
    return {each.status.value: each for each in stats.stats().totals}


def test_what_waits_is_taken_from_the_last_count(counted: Backlog) -> None:
    found = totals()
    assert (found["pending"].events, found["failed"].events, found["scheduled"].events) == (2, 1, 0)
    assert {found[name].taken_at for name in ("pending", "failed", "scheduled")} == {BEGAN}
    assert stats.stats().backlog is counted


def test_few_sent_events_are_counted_and_many_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        event(status=EventStatus.SENT)
    assert (totals()["sent"].events, totals()["sent"].exact) == (5, True)
    monkeypatch.setattr(stats, "COUNT_CAP", 3)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE outbox_events")
    assert (totals()["sent"].events, totals()["sent"].exact) == (5, False)


def test_without_statistics_there_are_at_least_those_that_were_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "COUNT_CAP", 2)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM pg_statistic WHERE starelid = 'outbox_events'::regclass")
    for _ in range(3):
        event(status=EventStatus.DISCARDED)
    assert (totals()["discarded"].events, totals()["discarded"].exact) == (2, False)


def test_the_rate_is_that_of_the_relays_that_are_alive() -> None:
    OutboxRelay.objects.create(host="a", pid=1, version="1", rate=10)
    OutboxRelay.objects.create(host="b", pid=2, version="1", rate=5)
    OutboxRelay.objects.create(host="c", pid=3, version="1", rate=7, heartbeat_at=database_now() - timedelta(hours=1))
    found = stats.stats()
    assert found.rate == 15
    assert [each.alive for each in found.relays] == [True, True, False]


def test_pauses_are_among_the_figures() -> None:
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_by="ann", paused_reason="a move")
    assert [each.reason for each in stats.stats().pauses] == ["a move"]


def test_a_count_that_fails_leaves_the_last_one_and_says_so(counted: Backlog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_to_count(*, refresh_if_older_than: timedelta | None = None, using: str) -> Backlog:
        if refresh_if_older_than is not None:
            raise backlog.CountFailed("it took too long")
        return counted

    monkeypatch.setattr(backlog, "snapshot", fail_to_count)
    found = stats.stats()
    assert (found.stale, found.backlog) == ("it took too long", counted)
