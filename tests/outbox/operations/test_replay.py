"""Replay, one event and many."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from outbox import wakeup
from outbox.models import EventStatus, OperatorAction, OutboxEvent, OutboxLane
from outbox.operations import bulk
from outbox.operations.audit import NoReason
from outbox.operations.bulk import Progress
from outbox.operations.filters import Filter, InvalidFilter
from outbox.operations.replay import preview, replay
from tests.outbox.operations.rows import ANN, BEGAN, event, failed, status
from tests.support.database import url
from tests.support.sessions import sessions

pytestmark = pytest.mark.django_db

DEAD = Filter(statuses=(EventStatus.FAILED,))


def again(given: Filter, **how: object) -> Progress:
    return replay(given, by=ANN, reason="the topic is there now", **how)  # type: ignore[arg-type]


def replayed(row: OutboxEvent) -> OutboxEvent:
    assert again(Filter(ids=(row.pk,))).changed == 1
    row.refresh_from_db()
    return row


def test_a_dead_letter_becomes_as_good_as_new_but_for_its_number_and_its_time() -> None:
    row = replayed(failed(3))
    assert (row.status, row.attempts, row.error_class, row.last_error) == ("pending", 0, "", "")
    assert (row.created_at, row.available_at) == (BEGAN + timedelta(seconds=3), None)


def test_a_header_counts_replays() -> None:
    row = replayed(failed(headers={"source": "shop"}))
    assert row.headers == {"source": "shop", "replay": "1"}
    OutboxEvent.objects.update(status=EventStatus.FAILED)
    assert replayed(row).headers["replay"] == "2"


@pytest.mark.parametrize("wrong", ["x", "", "-1", "9" * 30, 7.5])
def test_a_header_that_was_no_number_begins_anew(wrong: object) -> None:
    assert replayed(failed(headers={"replay": wrong})).headers == {"replay": "1"}


def test_headers_that_are_no_object_are_left_as_they_are() -> None:
    assert replayed(failed(headers=["a"])).headers == ["a"]


def test_a_discarded_event_is_taken_back() -> None:
    assert replayed(event(status=EventStatus.DISCARDED)).status == "pending"


def test_dead_letters_are_meant_unless_a_status_is_named() -> None:
    dead, discarded = failed(), event(status=EventStatus.DISCARDED)
    assert again(Filter(tenant_id="acme")).changed == 1
    assert (status(dead), status(discarded)) == ("pending", "discarded")


def test_a_sent_event_is_replayed_only_as_a_deliberate_duplicate() -> None:
    sent = event(status=EventStatus.SENT, sent_at=timezone.now(), kafka_partition=1, kafka_offset=7)
    with pytest.raises(InvalidFilter, match="duplicate"):
        again(Filter(statuses=(EventStatus.SENT,)))
    assert again(Filter(ids=(sent.pk,))).skipped == {"sent": 1}
    assert again(Filter(statuses=(EventStatus.SENT,)), duplicate_sent=True).changed == 1
    sent.refresh_from_db()
    assert (sent.status, sent.sent_at, sent.kafka_partition, sent.kafka_offset) == ("pending", None, None, None)


@pytest.mark.parametrize("going", [EventStatus.PENDING, EventStatus.SCHEDULED])
def test_what_is_going_to_be_published_anyway_is_left_alone(going: EventStatus) -> None:
    row = event(status=going, attempts=2)
    done = again(Filter(ids=(row.pk,)))
    assert (done.changed, done.skipped, status(row)) == (0, {going.value: 1}, going.value)
    with pytest.raises(InvalidFilter, match="anyway"):
        again(Filter(statuses=(going,)))
    assert not OperatorAction.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_that_somebody_is_changing_is_skipped_and_not_waited_for() -> None:
    locked, free = failed(1), failed(2)
    with sessions(1) as (other,):
        other.begin()
        other.execute(f"SELECT FROM outbox_events WHERE id = {locked.pk} FOR UPDATE")
        done = again(DEAD)
        other.roll_back()
    assert (done.changed, done.skipped) == (1, {"changing": 1})
    assert (status(locked), status(free)) == ("failed", "pending")


def test_the_lanes_floor_moves_below_what_is_replayed() -> None:
    OutboxLane.objects.create(tenant_id="acme", floor=BEGAN + timedelta(hours=1))
    OutboxLane.objects.create(tenant_id="zeta", floor=BEGAN + timedelta(hours=1))
    failed(5), failed(3)
    again(DEAD)
    floors = dict(OutboxLane.objects.values_list("tenant_id", "floor"))
    assert floors["acme"] == BEGAN + timedelta(seconds=3, microseconds=-1)
    assert floors["zeta"] == BEGAN + timedelta(hours=1)


def test_a_floor_that_is_lower_already_still_moves_for_its_holder_to_notice() -> None:
    OutboxLane.objects.create(tenant_id="acme", floor=BEGAN)
    failed(5)
    again(DEAD)
    assert OutboxLane.objects.get().floor == BEGAN - timedelta(microseconds=1)


def test_a_lane_without_a_row_gets_one_whose_floor_is_not_known() -> None:
    failed(5)
    again(DEAD)
    assert OutboxLane.objects.get().floor is None


@pytest.mark.django_db(transaction=True)
def test_relays_hear_of_it_at_the_commit() -> None:
    with psycopg.connect(url(), autocommit=True) as listener:
        listener.execute(f"LISTEN {wakeup.CHANNEL}")
        listener.execute(f"LISTEN {bulk.STEERING_CHANNEL}")
        failed()
        again(DEAD)
        heard = {(each.channel, each.payload) for each in listener.notifies(timeout=30, stop_after=2)}
    assert heard == {(wakeup.CHANNEL, "acme"), (bulk.STEERING_CHANNEL, "")}


def test_each_batch_is_recorded_with_what_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    rows = [failed(second) for second in range(3)]
    seen: list[Progress] = []
    again(DEAD, progress=seen.append)
    first, second = OperatorAction.objects.order_by("id")
    assert (first.verb, first.actor, first.address) == ("replay", "ann", "192.0.2.1")
    assert first.before == {"failed": [rows[0].pk, rows[1].pk]}
    assert first.after == {"status": "pending"}
    assert first.counts == {"replayed": 2, "skipped": 0}
    assert first.filter == {"status": ["failed"], "up_to_id": rows[2].pk}
    assert second.filter["after"] == seen[0].next
    assert [each.changed for each in seen] == [2, 3]


def test_what_was_done_before_an_interruption_stays_and_the_rest_is_done_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    for second in range(5):
        failed(second)
    stopped: list[Progress] = []

    def stop(done: Progress) -> None:
        stopped.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(DEAD, progress=stop)
    assert OutboxEvent.objects.filter(status=EventStatus.PENDING).count() == 2
    assert again(DEAD, after=stopped[0].next).changed == 3


def test_events_that_come_later_are_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 1)
    failed(1), failed(2)

    def another(done: Progress) -> None:
        if done.changed == 1:
            failed(9)

    assert again(DEAD, progress=another).changed == 2
    assert OutboxEvent.objects.get(status=EventStatus.FAILED).created_at == BEGAN + timedelta(seconds=9)


def test_a_sent_event_is_duplicated_once_in_a_run_however_fast_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 1)
    for second in range(3):
        event(second, status=EventStatus.SENT)

    def send(done: Progress) -> None:
        OutboxEvent.objects.filter(status=EventStatus.PENDING).update(status=EventStatus.SENT)

    assert again(Filter(statuses=(EventStatus.SENT,)), duplicate_sent=True, progress=send).changed == 3
    assert {row.headers["replay"] for row in OutboxEvent.objects.all()} == {"1"}


def test_a_limit_takes_the_oldest_and_says_where_to_go_on() -> None:
    old, new = failed(1), failed(2)
    done = again(DEAD, limit=1)
    assert (done.changed, status(old), status(new)) == (1, "pending", "failed")
    assert again(DEAD, after=done.next).changed == 1


def test_a_reason_is_asked_for() -> None:
    failed()
    with pytest.raises(NoReason):
        replay(DEAD, by=ANN, reason=" ")
    assert OutboxEvent.objects.get().status == "failed"


def test_if_it_cannot_be_recorded_it_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    row = failed()

    def refuse(**_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("outbox.operations.audit.record", refuse)
    with pytest.raises(RuntimeError):
        again(DEAD)
    assert status(row) == "failed"
    assert connection.is_usable()


def test_a_preview_changes_nothing() -> None:
    failed(1), failed(2, tenant_id="zeta"), event(3)
    found = preview(DEAD)
    assert (found.events, found.tenants, found.statuses, found.more) == (2, 2, {"failed": 2}, False)
    assert not OutboxEvent.objects.filter(headers__has_key="replay").exists()


def test_a_preview_does_not_count_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST_PREVIEWED", 3)
    for second in range(5):
        failed(second)
    found = preview(DEAD)
    assert (found.events, found.more) == (3, True)
    assert preview(DEAD, limit=2).more is False


def test_a_preview_of_named_events_says_which_are_left_alone() -> None:
    rows = (failed(), event(), event(status=EventStatus.SENT))
    found = preview(Filter(ids=tuple(row.pk for row in rows)))
    assert (found.events, found.skipped) == (1, {"pending": 1, "sent": 1})
