"""Discard, and what it sets free."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import Settings

from outbox.models import EventStatus, OperatorAction, OutboxLane
from outbox.operations.bulk import Progress
from outbox.operations.discard import discard, preview
from outbox.operations.filters import Filter, InvalidFilter
from tests.outbox.operations.rows import ANN, BEGAN, event, failed, status

pytestmark = pytest.mark.django_db

LATER = BEGAN + timedelta(hours=1)


def give_up(given: Filter) -> Progress:
    return discard(given, by=ANN, reason="nobody wants it")


@pytest.fixture
def lane() -> OutboxLane:
    return OutboxLane.objects.create(tenant_id="acme", floor=LATER)


@pytest.mark.parametrize("was", [EventStatus.PENDING, EventStatus.SCHEDULED, EventStatus.FAILED])
def test_what_is_not_published_is_given_up(was: EventStatus) -> None:
    row = event(status=was, attempts=3, error_class="topic")
    assert give_up(Filter(ids=(row.pk,))).changed == 1
    row.refresh_from_db()
    assert (row.status, row.available_at, row.attempts, row.error_class) == ("discarded", None, 3, "topic")


@pytest.mark.parametrize("was", [EventStatus.SENT, EventStatus.DISCARDED])
def test_what_is_over_is_left_alone(was: EventStatus) -> None:
    row = event(status=was)
    assert give_up(Filter(ids=(row.pk,))).skipped == {was.value: 1}
    with pytest.raises(InvalidFilter, match="cannot be discarded"):
        give_up(Filter(statuses=(was,)))
    assert status(row) == was.value


def test_dead_letters_are_meant_unless_a_status_is_named() -> None:
    dead, pending = failed(), event()
    assert give_up(Filter(tenant_id="acme")).changed == 1
    assert (status(dead), status(pending)) == ("discarded", "pending")
    assert give_up(Filter(tenant_id="acme", statuses=(EventStatus.PENDING,))).changed == 1


def test_a_discarded_retry_sends_its_lane_back_to_what_waited_for_it(lane: OutboxLane) -> None:
    event(3, status=EventStatus.SCHEDULED, attempts=1, partition_key="k")
    give_up(Filter(statuses=(EventStatus.SCHEDULED,)))
    lane.refresh_from_db()
    assert lane.floor == BEGAN + timedelta(seconds=3, microseconds=-1)


def test_what_held_up_nothing_leaves_the_lane_where_it_is(lane: OutboxLane) -> None:
    event(1), event(2, status=EventStatus.SCHEDULED, attempts=0), failed(3)
    statuses = (EventStatus.PENDING, EventStatus.SCHEDULED, EventStatus.FAILED)
    assert give_up(Filter(statuses=statuses)).changed == 3
    lane.refresh_from_db()
    assert lane.floor == LATER


def test_a_dead_letter_that_held_up_its_key_sends_its_lane_back(lane: OutboxLane, settings: Settings) -> None:
    settings.OUTBOX_DEAD_LETTER_BLOCKS_KEY = True
    failed(3, partition_key="k")
    give_up(Filter(statuses=(EventStatus.FAILED,)))
    lane.refresh_from_db()
    assert lane.floor == BEGAN + timedelta(seconds=3, microseconds=-1)


def test_it_is_recorded() -> None:
    row = failed()
    give_up(Filter(ids=(row.pk,)))
    action = OperatorAction.objects.get()
    assert (action.verb, action.reason) == ("discard", "nobody wants it")
    assert (action.before, action.after) == ({"failed": [row.pk]}, {"status": "discarded"})
    assert action.counts == {"discarded": 1, "skipped": 0}


def test_a_preview_changes_nothing() -> None:
    row = failed()
    assert preview(Filter(tenant_id="acme")).events == 1
    assert status(row) == "failed"
