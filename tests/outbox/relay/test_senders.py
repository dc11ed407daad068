from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError

from outbox.errors import ProducerLost
from outbox.relay.lanes import Lane
from outbox.relay.senders import QUARANTINE_SECONDS, Senders
from tests.outbox.relay.conftest import lane

SUSPECT_AFTER, DEADLINE = 1.0, 3.0
NOW = 100.0


class FakeSender:
    """Holds what was produced for lanes until it is polled, or purged."""

    def __init__(self, *, isolate: bool, calls: list[str], name: str) -> None:
        self.isolate = isolate
        self.name = name
        self.holds: list[Lane] = []
        self.fatal: KafkaError | None = None
        self.broker_suspect_since: float | None = None
        self.closed = False
        self.warmed = 0
        self.never_reports = False
        self._calls = calls

    @property
    def outstanding(self) -> int:
        return len(self.holds)

    def poll(self, timeout: float) -> None:
        self._calls.append(f"poll {self.name} {timeout}")

    def wait(self, timeout: float) -> None:
        self._calls.append(f"wait {self.name} {timeout}")

    def trust(self) -> None:
        self.broker_suspect_since = None

    def warm(self, *, topic: str | None = None) -> None:
        self.warmed += 1

    def purge_and_close(self, timeout: float) -> int:
        self.closed = True
        if self.never_reports:
            return len(self.holds)
        for held in self.holds:
            held.outstanding -= 1
        self.holds.clear()
        return 0


class Directory:
    def __init__(self) -> None:
        self.alive: bool | None = True
        self.last_answer: float | None = None
        self.watching = False
        self.pings = 0

    def any_ok(self) -> str:
        return "news"

    def ping(self) -> None:
        self.pings += 1


class Room:
    def __init__(self) -> None:
        self.topics = Directory()
        self.made: list[FakeSender] = []
        self.calls: list[str] = []
        self.senders = Senders(
            make=self._make,  # type: ignore[arg-type]
            topics=self.topics,  # type: ignore[arg-type]
            suspect_after=SUSPECT_AFTER,
            deadline=DEADLINE,
        )

    def _make(self, isolate: bool) -> FakeSender:
        made = FakeSender(isolate=isolate, calls=self.calls, name=str(len(self.made)))
        self.made.append(made)
        return made

    @property
    def main(self) -> Any:
        return self.senders.main

    def stuck(self, tenant: str = "stuck", *, since: float, sender: Any = None) -> Lane:
        """A lane with one message under way since then."""
        sender = sender or self.main
        made = lane(tenant, outstanding=1, produced_at=since, sender=sender)
        sender.holds.append(made)
        return made


@pytest.fixture
def room() -> Room:
    return Room()


# Which producer


def test_lanes_share_one_producer_and_suspects_another_one(room: Room) -> None:
    healthy, suspect = lane("a"), lane("b", suspect_until=NOW + 1)
    assert room.senders.of(healthy, NOW) is room.main
    quarantine: Any = room.senders.of(suspect, NOW)
    assert quarantine is room.senders.of(lane("c", suspect_until=NOW + 1), NOW)
    assert [made.isolate for made in room.made] == [False, True]
    assert (healthy.isolated, suspect.isolated) == (False, True)


def test_suspicion_ends(room: Room) -> None:
    suspect = lane("b", suspect_until=NOW)
    assert room.senders.of(suspect, NOW) is room.main
    assert not suspect.isolated


def test_the_first_producer_is_warmed_and_later_ones_while_there_is_a_broker(room: Room) -> None:
    assert room.main.warmed == 1
    for alive in (True, False):
        room.topics.alive = alive
        room.senders.judge([room.stuck(since=NOW - DEADLINE - 0.1)], NOW)
    assert [made.warmed for made in room.made] == [1, 1, 0]


def test_nobody_waits_for_a_producer_of_lanes_under_suspicion(room: Room) -> None:
    """What they want of the broker may be what does not answer."""
    room.senders.of(lane(suspect_until=NOW + 1), NOW)
    assert [made.warmed for made in room.made] == [1, 0]


# Reports


def test_reports_of_every_producer_are_served_and_only_the_one_for_all_is_waited_for(room: Room) -> None:
    room.senders.of(lane(suspect_until=NOW + 1), NOW)
    room.senders.poll()
    assert room.calls == ["poll 1 0", "poll 0 0"]
    room.calls.clear()
    room.senders.wait(0.25)
    assert room.calls == ["poll 1 0", "wait 0 0.25"]


def test_a_round_waits_for_the_reports_of_the_one_for_all(room: Room) -> None:
    quarantine = room.senders.of(lane(suspect_until=NOW + 1), NOW)
    room.stuck(since=NOW, sender=quarantine)
    assert room.senders.outstanding == 0
    room.stuck(since=NOW)
    assert room.senders.outstanding == 1


def test_any_report_is_reason_enough_to_poll(room: Room) -> None:
    """Or a suspect's reports would lie there until something of another lane is under way."""
    assert not room.senders.expecting
    room.stuck(since=NOW, sender=room.senders.of(lane(suspect_until=NOW + 1), NOW))
    assert room.senders.expecting


@pytest.mark.parametrize("serve", [Senders.poll, lambda senders: senders.wait(0)], ids=["poll", "wait"])
@pytest.mark.parametrize("which", ["main", "quarantine"])
def test_a_producer_that_cannot_go_on_ends_the_relay(room: Room, which: str, serve: Callable[[Senders], None]) -> None:
    quarantine: Any = room.senders.of(lane(suspect_until=NOW + 1), NOW)
    (room.main if which == "main" else quarantine).fatal = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
    with pytest.raises(ProducerLost):
        serve(room.senders)


# Overdue reports


def test_reports_that_are_not_overdue_trouble_nobody(room: Room) -> None:
    room.senders.judge([room.stuck(since=NOW - SUSPECT_AFTER), lane("idle")], NOW)
    assert room.topics.pings == 0
    assert len(room.made) == 1


def test_first_the_broker_is_asked(room: Room) -> None:
    room.senders.judge([room.stuck(since=NOW - 1.1)], NOW)
    assert room.topics.pings == 1
    assert len(room.made) == 1


def test_while_the_broker_answers_healthy_lanes_go_on_with_a_new_producer(room: Room) -> None:
    """What stays in the old one is the stuck lane's alone, so that giving it up hits nobody else."""
    stuck, old = room.stuck(since=NOW - 1.5), room.main
    room.topics.last_answer = NOW - 0.1
    room.senders.judge([stuck], NOW)
    assert room.main is not old
    assert room.main.warmed == 1
    assert not old.closed
    assert room.senders.of(lane("healthy"), NOW) is room.main
    room.senders.judge([stuck], NOW + 0.5)
    assert len(room.made) == 2


def test_an_answer_from_before_says_nothing(room: Room) -> None:
    room.topics.last_answer = NOW - 1.2
    room.senders.judge([room.stuck(since=NOW - 1.5)], NOW)
    assert len(room.made) == 1


def test_at_our_deadline_a_stuck_lane_is_given_up_and_goes_into_quarantine(room: Room) -> None:
    stuck, old = room.stuck(since=NOW - 1.5), room.main
    room.topics.last_answer = NOW - 0.1
    room.senders.judge([stuck], NOW)
    healthy = room.stuck("healthy", since=NOW)
    room.senders.judge([stuck, healthy], NOW + 1.6)
    assert old.closed
    assert (stuck.outstanding, healthy.outstanding) == (0, 1)
    assert stuck.suspect_until == NOW + 1.6 + QUARANTINE_SECONDS
    assert healthy.suspect_until == 0.0
    room.senders.poll()
    assert room.calls == ["poll 1 0"]


def test_a_suspect_that_is_stuck_again_takes_only_the_quarantine_along(room: Room) -> None:
    suspect = lane(suspect_until=NOW + 60)
    quarantine: Any = room.senders.of(suspect, NOW)
    stuck = room.stuck(since=NOW - 3.1, sender=quarantine)
    main = room.main
    room.senders.judge([stuck], NOW)
    assert quarantine.closed
    assert room.main is main
    assert room.senders.of(suspect, NOW) is not quarantine


def test_when_the_broker_is_silent_nobody_goes_into_quarantine(room: Room) -> None:
    stuck, old = room.stuck(since=NOW - 3.1), room.main
    room.topics.alive = False
    room.senders.judge([stuck], NOW)
    assert old.closed
    assert room.main is not old
    assert (stuck.outstanding, stuck.suspect_until) == (0, 0.0)


def test_reports_that_never_come_end_the_relay(room: Room) -> None:
    """Their lanes would wait for them for ever."""
    stuck = room.stuck(since=NOW - 3.1)
    room.main.never_reports = True
    with pytest.raises(ProducerLost):
        room.senders.judge([stuck], NOW)


def test_a_retired_producer_is_closed_when_its_reports_have_come_after_all(room: Room) -> None:
    stuck, old = room.stuck(since=NOW - 1.5), room.main
    room.topics.last_answer = NOW - 0.1
    room.senders.judge([stuck], NOW)
    room.senders.judge([stuck], NOW + 0.1)
    assert not old.closed
    old.holds.clear()
    stuck.outstanding = 0
    room.senders.judge([stuck], NOW + 0.2)
    assert old.closed


def test_it_is_closed_also_while_another_lane_is_stuck(room: Room) -> None:
    """Or producers would pile up as long as one tenant or another is in trouble."""
    first, old = room.stuck(since=NOW - 1.5), room.main
    room.topics.last_answer = NOW - 0.1
    room.senders.judge([first], NOW)
    old.holds.clear()
    first.outstanding = 0
    second = room.stuck("second", since=NOW - 1.5)
    room.senders.judge([first, second], NOW + 0.1)
    assert old.closed


# Outages


def test_a_broker_that_does_not_answer_stops_everything_until_it_does(room: Room) -> None:
    assert room.senders.usable([], NOW)
    room.topics.alive = False
    assert not room.senders.usable([], NOW)
    assert [room.topics.watching] == [True]
    room.topics.alive = True
    assert room.senders.usable([], NOW)
    assert [room.topics.watching, room.main.warmed] == [False, 2]


def test_before_the_first_answer_the_broker_counts_as_there(room: Room) -> None:
    room.topics.alive = None
    assert room.senders.usable([], NOW)


def test_signs_of_trouble_are_looked_into_and_trusted_away(room: Room) -> None:
    room.main.broker_suspect_since = NOW
    assert room.senders.usable([], NOW + 0.1)
    assert room.topics.pings == 1
    room.topics.last_answer = NOW + 0.2
    assert room.senders.usable([], NOW + 0.3)
    assert room.main.broker_suspect_since is None


@pytest.mark.parametrize(
    ("alive", "last_answer", "answers"),
    [(True, NOW + 1.1, True), (True, NOW + 0.9, False), (True, None, False), (False, NOW + 1.1, False)],
)
def test_the_broker_answers_while_messages_are_stuck_or_it_does_not(
    room: Room, alive: bool, last_answer: float | None, answers: bool
) -> None:
    room.topics.alive, room.topics.last_answer = alive, last_answer
    assert room.senders.answers(NOW) is answers


# The end


def test_everything_is_closed_at_the_end(room: Room) -> None:
    room.senders.of(lane(suspect_until=NOW + 1), NOW)
    room.topics.last_answer = NOW - 0.1
    room.senders.judge([room.stuck(since=NOW - 1.5)], NOW)
    room.senders.close()
    assert len(room.made) == 3
    assert all(made.closed for made in room.made)


def test_after_an_error_everything_is_purged_whatever_happens(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    quarantine: Any = room.senders.of(lane(suspect_until=NOW + 1), NOW)

    def fail(timeout: float) -> int:
        raise ProducerLost("already")

    monkeypatch.setattr(quarantine, "purge_and_close", fail)
    room.senders.purge_all()
    assert room.main.closed
