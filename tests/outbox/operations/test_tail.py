"""Events are followed as they are sent, fail, and are replayed."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from outbox.models import EventStatus, OutboxAttempt, OutboxEvent
from outbox.operations import tail
from outbox.operations.filters import Filter
from outbox.operations.replay import replay
from outbox.operations.tail import Tail
from tests.outbox.operations.rows import ANN, event, failed

pytestmark = pytest.mark.django_db


def send(*rows: OutboxEvent) -> None:
    ids = [row.pk for row in rows]
    OutboxEvent.objects.filter(id__in=ids).update(status=EventStatus.SENT, sent_at=timezone.now())


def polled(watched: Tail) -> list[tuple[str, int]]:
    return [(each.what, each.event.event_id) for each in watched.poll()]


def test_what_is_enqueued_is_told_of_when_it_is_sent() -> None:
    event(status=EventStatus.SENT)
    watched = Tail(Filter())
    assert polled(watched) == []
    row = event()
    assert polled(watched) == []
    send(row)
    assert polled(watched) == [("sent", row.pk)]
    assert polled(watched) == []


def test_what_is_sent_between_two_looks_is_told_of() -> None:
    watched = Tail(Filter())
    row = event(status=EventStatus.SENT, sent_at=timezone.now())
    assert polled(watched) == [("sent", row.pk)]


def test_a_tenant_that_is_asked_for_shows_what_it_had_waiting() -> None:
    waiting = event()
    watched = Tail(Filter(tenant_id="acme"))
    send(waiting)
    assert polled(watched) == [("sent", waiting.pk)]


def test_failed_attempts_are_told_of_with_what_the_broker_said() -> None:
    watched = Tail(Filter())
    retry, dead = event(status=EventStatus.SCHEDULED, attempts=1), failed()
    for row in (retry, dead):
        OutboxAttempt.objects.create(event=row, relay_id=uuid4(), error_class="topic", code=3, message="Unknown topic")
    found = watched.poll()
    assert [(each.what, each.event.event_id, each.message) for each in found] == [
        ("retry", retry.pk, "Unknown topic"),
        ("failed", dead.pk, "Unknown topic"),
    ]
    send(retry)
    assert polled(watched) == [("sent", retry.pk)]


def test_a_replayed_event_is_told_of_when_it_is_sent() -> None:
    dead = failed()
    watched = Tail(Filter())
    replay(Filter(ids=(dead.pk,)), by=ANN, reason="the topic is there")
    assert polled(watched) == []
    send(dead)
    assert polled(watched) == [("sent", dead.pk)]


def test_a_discarded_event_is_told_of() -> None:
    watched = Tail(Filter())
    row = event()
    polled(watched)
    OutboxEvent.objects.filter(pk=row.pk).update(status=EventStatus.DISCARDED)
    assert polled(watched) == [("discarded", row.pk)]


def test_only_what_matches_is_told_of() -> None:
    watched = Tail(Filter(topic="orders", statuses=(EventStatus.SENT,)))
    wanted = event(status=EventStatus.SENT)
    event(status=EventStatus.SENT, topic="returns")
    event(status=EventStatus.DISCARDED)
    assert polled(watched) == [("sent", wanted.pk)]


def test_an_event_whose_number_is_older_than_others_that_were_seen_is_told_of() -> None:
    watched = Tail(Filter())
    first = event()
    send(first)
    number = first.pk
    assert polled(watched) == [("sent", number)]
    late = event(id=number - 1, status=EventStatus.SENT)
    assert polled(watched) == [("sent", late.pk)]


def test_no_more_is_watched_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST_WATCHED", 2)
    watched = Tail(Filter())
    rows = [event(second) for second in range(3)]
    assert polled(watched) == []
    send(*rows)
    assert polled(watched) == [("sent", rows[1].pk), ("sent", rows[2].pk)]
