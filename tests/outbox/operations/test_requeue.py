"""Requeue: retries that are due at once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from outbox.models import EventStatus, OperatorAction, OutboxEvent, OutboxLane
from outbox.operations.bulk import Progress
from outbox.operations.filters import Filter, InvalidFilter
from outbox.operations.requeue import preview, requeue
from tests.outbox.operations.rows import ANN, BEGAN, event, failed, status

pytestmark = pytest.mark.django_db


def retry(second: int = 0, **columns: object) -> OutboxEvent:
    values = {"status": EventStatus.SCHEDULED, "attempts": 3, "error_class": "topic", **columns}
    return event(second, **values)


def now(given: Filter) -> Progress:
    return requeue(given, by=ANN, reason="the broker is back")


def test_a_retry_is_due_at_once_and_its_failed_attempts_still_count() -> None:
    row = retry()
    assert now(Filter(tenant_id="acme")).changed == 1
    row.refresh_from_db()
    assert (row.status, row.available_at, row.attempts, row.error_class) == ("pending", None, 3, "topic")
    assert row.headers == {}


def test_a_delayed_event_keeps_its_time() -> None:
    delayed = event(status=EventStatus.SCHEDULED)
    assert now(Filter()).skipped == {"delayed": 1}
    assert now(Filter(ids=(delayed.pk,))).skipped == {"delayed": 1}
    assert status(delayed) == "scheduled"


def test_what_does_not_wait_for_an_attempt_is_left_alone() -> None:
    rows = [event(), failed()]
    assert now(Filter(ids=tuple(row.pk for row in rows))).skipped == {"pending": 1, "failed": 1}
    with pytest.raises(InvalidFilter, match="failed events cannot be requeued"):
        now(Filter(statuses=(EventStatus.FAILED,)))


def test_a_holder_of_the_lane_learns_of_it_by_its_floor() -> None:
    OutboxLane.objects.create(tenant_id="acme", floor=BEGAN + timedelta(hours=1))
    retry(5), retry(3)
    now(Filter())
    assert OutboxLane.objects.get().floor == BEGAN + timedelta(seconds=3) - timedelta(microseconds=1)


def test_it_is_recorded() -> None:
    row = retry()
    now(Filter(error_class="topic"))
    action = OperatorAction.objects.get()
    assert (action.verb, action.counts) == ("requeue", {"requeued": 1, "skipped": 0})
    assert (action.before, action.after) == ({"scheduled": [row.pk]}, {"status": "pending"})


def test_a_preview_counts_retries_alone() -> None:
    rows = [retry(1), retry(2, tenant_id="zeta"), event(3, status=EventStatus.SCHEDULED)]
    found = preview(Filter())
    assert (found.events, found.tenants, found.skipped) == (2, 2, {"delayed": 1})
    assert [status(row) for row in rows] == ["scheduled"] * 3
