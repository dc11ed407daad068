"""What a circuit decides, on a clock and a chance of our own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from circuits import machine
from circuits.events import (
    Acquire,
    Allowed,
    Automatic,
    CircuitState,
    Effect,
    Event,
    Exceeded,
    Failed,
    Force,
    FoundGone,
    FoundWell,
    Override,
    Phase,
    Refused,
    Released,
    Reset,
    Succeeded,
    Transition,
    Why,
)
from circuits.policy import Mode, Policy

POLICY = Policy(
    failure_threshold=3,
    decay=10,
    reset_interval=30,
    max_reset_interval=100,
    half_open_probes=2,
    probe_lease=5,
    stable_time=60,
    jitter=0,
)
START = datetime(2026, 1, 1, tzinfo=UTC)


class Subject:
    """A circuit, with the time that passes for it."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.state = CircuitState()
        self.now = START
        self.chance = 0.0

    def do(self, event: Event) -> tuple[Effect, ...]:
        self.state, effects = machine.step(self.state, self.policy, event, now=self.now, chance=self.chance)
        return effects

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def ask(self) -> Allowed | Refused:
        (decision,) = (each for each in self.do(Acquire()) if isinstance(each, Allowed | Refused))
        return decision

    def fail(self, error_code: str = "") -> tuple[Effect, ...]:
        return self.do(Failed(epoch=self.state.epoch, error_code=error_code))

    def succeed(self) -> tuple[Effect, ...]:
        return self.do(Succeeded(epoch=self.state.epoch))

    def force(self, override: Override, *, seconds: float | None = None) -> tuple[Effect, ...]:
        until = None if seconds is None else self.now + timedelta(seconds=seconds)
        return self.do(Force(override=override, by="ann", reason="maintenance", until=until))

    def trip(self) -> None:
        while self.state.phase is Phase.CLOSED:
            self.fail()

    def probe(self) -> None:
        """Waits until a call is let through."""
        while isinstance(decision := self.ask(), Refused):
            self.wait(decision.retry_after)
        assert decision.probe

    @property
    def visible(self) -> str:
        return machine.visible(self.state, now=self.now)


@pytest.fixture
def subject() -> Subject:
    return Subject()


@pytest.fixture
def tripped(subject: Subject) -> Subject:
    subject.trip()
    return subject


@pytest.fixture
def probing(tripped: Subject) -> Subject:
    tripped.probe()
    return tripped


def test_a_new_circuit_is_closed_and_lets_everybody_through(subject: Subject) -> None:
    assert [subject.ask(), subject.ask()] == [Allowed(epoch=0, probe=False)] * 2
    assert subject.state == CircuitState()


def test_failures_in_a_row_open_it(subject: Subject) -> None:
    subject.fail()
    subject.fail()
    assert subject.ask() == Allowed(epoch=0, probe=False)
    (transition,) = subject.fail("timeout")
    assert transition == Transition(
        from_state="closed", to_state="open", why=Why.FAILURES, epoch=1, at=START, failures=3, error_code="timeout"
    )
    assert subject.ask() == Refused(state="open", retry_after=30)


def test_a_success_between_begins_the_count_anew(subject: Subject) -> None:
    for _ in range(5):
        subject.fail()
        subject.fail()
        assert subject.succeed() == ()
    assert subject.state == CircuitState()


def test_a_success_without_a_failure_before_changes_nothing(subject: Subject) -> None:
    before = subject.state
    subject.succeed()
    assert subject.state is before


def test_failures_are_forgotten_after_a_while(subject: Subject) -> None:
    subject.fail()
    subject.fail()
    subject.wait(9.9)
    assert machine.failures_in_a_row(subject.state, POLICY, now=subject.now) == 2
    subject.wait(0.1)
    assert machine.failures_in_a_row(subject.state, POLICY, now=subject.now) == 0
    subject.fail()
    assert (subject.state.phase, subject.state.failures) == (Phase.CLOSED, 1)


def test_results_of_an_older_epoch_are_dropped(tripped: Subject) -> None:
    for late in (Succeeded(epoch=0), Failed(epoch=0), Released(epoch=0)):
        assert tripped.do(late) == ()
    assert (tripped.state.phase, tripped.state.epoch) == (Phase.OPEN, 1)


def test_it_stays_open_for_the_reset_interval(tripped: Subject) -> None:
    tripped.wait(29)
    assert tripped.ask() == Refused(state="open", retry_after=1)
    assert tripped.visible == "open"
    tripped.wait(1)
    assert tripped.visible == "half_open"


def test_then_one_call_is_let_through_at_a_time(tripped: Subject) -> None:
    tripped.wait(30)
    transition, decision = tripped.do(Acquire())
    assert decision == Allowed(epoch=2, probe=True)
    assert isinstance(transition, Transition)
    assert (transition.from_state, transition.to_state, transition.why) == ("open", "half_open", Why.INTERVAL_OVER)
    assert tripped.ask() == Refused(state="half_open", retry_after=5)


def test_as_many_probes_as_asked_for_close_it(probing: Subject) -> None:
    assert probing.succeed() == ()
    assert probing.state.phase is Phase.HALF_OPEN
    probing.probe()
    (transition,) = probing.succeed()
    assert isinstance(transition, Transition)
    assert (transition.to_state, transition.why) == ("closed", Why.PROBES_SUCCEEDED)
    assert (probing.state.phase, probing.state.failures) == (Phase.CLOSED, 0)


def test_a_probe_that_fails_opens_it_again_for_longer(probing: Subject) -> None:
    (transition,) = probing.fail("http_500")
    assert isinstance(transition, Transition)
    assert (transition.from_state, transition.to_state, transition.why) == ("half_open", "open", Why.PROBE_FAILED)
    assert probing.ask() == Refused(state="open", retry_after=60)


def test_successes_of_probes_have_to_be_in_a_row(probing: Subject) -> None:
    probing.succeed()
    probing.probe()
    probing.fail()
    probing.probe()
    probing.succeed()
    assert probing.state.phase is Phase.HALF_OPEN


def test_a_probe_that_says_nothing_gives_its_place_back(probing: Subject) -> None:
    epoch = probing.state.epoch
    assert probing.do(Released(epoch=epoch)) == ()
    assert probing.ask() == Allowed(epoch=epoch + 1, probe=True)


def test_a_prober_that_died_is_replaced_after_its_lease(probing: Subject) -> None:
    dead = probing.state.epoch
    probing.wait(4.9)
    assert isinstance(probing.ask(), Refused)
    probing.wait(0.1)
    assert probing.ask() == Allowed(epoch=dead + 1, probe=True)
    for late in (Succeeded(epoch=dead), Failed(epoch=dead), Released(epoch=dead)):
        assert probing.do(late) == ()
    assert isinstance(probing.ask(), Refused)


def test_a_probe_reports_once(probing: Subject) -> None:
    probing.succeed()
    before = probing.state
    probing.succeed()
    probing.fail()
    assert probing.state == before


def test_the_interval_doubles_up_to_a_cap(tripped: Subject) -> None:
    waits = []
    for _ in range(4):
        assert tripped.state.open_until is not None
        waits.append((tripped.state.open_until - tripped.now).total_seconds())
        tripped.probe()
        tripped.fail()
    assert waits == [30, 60, 100, 100]


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 60.0), (0.5, 57.0), (1.0, 54.0)])
def test_chance_takes_up_to_the_jitter_off(chance: float, seconds: float) -> None:
    policy = replace(POLICY, jitter=0.1)
    assert machine.reset_interval(policy, trips=1, chance=chance) == timedelta(seconds=seconds)


def test_no_number_of_trips_is_too_many() -> None:
    assert machine.reset_interval(POLICY, trips=10**9, chance=0) == timedelta(seconds=100)


def close(subject: Subject) -> None:
    while subject.state.phase is not Phase.CLOSED:
        subject.probe()
        subject.succeed()


@pytest.mark.parametrize(("stable", "seconds"), [(59, 60), (60, 30)])
def test_a_stable_time_leads_back_to_the_first_interval(tripped: Subject, stable: float, seconds: float) -> None:
    close(tripped)
    tripped.wait(stable)
    tripped.trip()
    assert tripped.ask() == Refused(state="open", retry_after=seconds)


def test_a_rate_that_a_process_found_exceeded_opens_it() -> None:
    subject = Subject(replace(POLICY, mode=Mode.RATE))
    for _ in range(10):
        subject.fail()
    assert subject.state == CircuitState(), "in mode rate single failures are not shared"
    (transition,) = subject.do(Exceeded(epoch=0, calls=40, failures=21, error_code="timeout"))
    assert isinstance(transition, Transition)
    assert (transition.why, transition.calls, transition.failures) == (Why.RATE, 40, 21)
    assert subject.visible == "open"


def test_a_rate_says_nothing_in_mode_consecutive(subject: Subject) -> None:
    assert subject.do(Exceeded(epoch=0, calls=40, failures=40)) == ()
    assert subject.state == CircuitState()


def test_forced_open_lets_nobody_through_whatever_happens(subject: Subject) -> None:
    (transition,) = subject.force(Override.FORCED_OPEN)
    assert isinstance(transition, Transition)
    assert (transition.to_state, transition.by, transition.reason) == ("forced_open", "ann", "maintenance")
    for _ in range(3):
        subject.wait(100_000)
        subject.succeed()
        assert subject.ask() == Refused(state="forced_open", retry_after=30)


def test_forced_closed_lets_everybody_through_whatever_happens(tripped: Subject) -> None:
    tripped.force(Override.FORCED_CLOSED)
    for _ in range(10):
        tripped.fail()
        assert isinstance(tripped.ask(), Allowed)
    assert tripped.visible == "forced_closed"


def test_what_staff_decide_may_end_by_itself(subject: Subject) -> None:
    subject.force(Override.FORCED_OPEN, seconds=20)
    assert subject.ask() == Refused(state="forced_open", retry_after=20)
    subject.wait(20)
    assert subject.visible == "closed"
    transition, decision = subject.do(Acquire())
    assert isinstance(transition, Transition)
    assert (transition.from_state, transition.to_state, transition.why) == (
        "forced_open",
        "closed",
        Why.OVERRIDE_EXPIRED,
    )
    assert decision == Allowed(epoch=subject.state.epoch, probe=False)


def test_automatic_again_goes_on_where_it_was(tripped: Subject) -> None:
    tripped.force(Override.FORCED_CLOSED)
    tripped.do(Automatic(by="ann", reason="over"))
    assert tripped.ask() == Refused(state="open", retry_after=30)
    assert tripped.do(Automatic(by="ann", reason="over")) == ()


def test_a_probe_under_way_means_nothing_once_staff_have_decided(probing: Subject) -> None:
    epoch = probing.state.epoch
    probing.force(Override.FORCED_OPEN)
    probing.do(Automatic(by="ann", reason="over"))
    probing.do(Succeeded(epoch=epoch))
    assert (probing.state.phase, probing.state.probe_successes) == (Phase.HALF_OPEN, 0)
    assert isinstance(probing.ask(), Allowed)


def test_a_reset_closes_it_and_forgets_everything(probing: Subject) -> None:
    probing.fail()
    probing.force(Override.FORCED_OPEN)
    epoch = probing.state.epoch
    (transition,) = probing.do(Reset(by="ann", reason="repaired"))
    assert isinstance(transition, Transition)
    assert (transition.from_state, transition.to_state, transition.by) == ("forced_open", "closed", "ann")
    assert probing.state == CircuitState(epoch=epoch + 1, opened_at=probing.state.opened_at)
    probing.trip()
    assert probing.ask() == Refused(state="open", retry_after=30)


# A probe beside the calls


def test_a_circuit_found_gone_opens_at_once_and_found_well_closes_at_once(subject: Subject) -> None:
    (opened,) = subject.do(FoundGone(error_code="no_answer"))
    assert isinstance(opened, Transition)
    assert (opened.to_state, opened.why, opened.error_code) == ("open", Why.FOUND_GONE, "no_answer")
    assert isinstance(subject.ask(), Refused)
    (closed,) = subject.do(FoundWell())
    assert isinstance(closed, Transition)
    assert (closed.to_state, closed.why) == ("closed", Why.FOUND_WELL)
    assert subject.ask() == Allowed(epoch=subject.state.epoch, probe=False)


def test_whoever_finds_the_same_later_changes_nothing(subject: Subject) -> None:
    subject.do(FoundGone())
    before = subject.state
    assert subject.do(FoundGone()) == ()
    assert subject.state == before
    subject.do(FoundWell())
    before = subject.state
    assert subject.do(FoundWell()) == ()
    assert subject.do(FoundGone(still=True)) == ()
    assert subject.state == before


def test_a_circuit_that_is_still_gone_stays_open(subject: Subject) -> None:
    subject.do(FoundGone())
    before = subject.state
    for _ in range(10):
        subject.wait(20)
        assert subject.do(FoundGone(still=True)) == ()
        assert machine.visible(subject.state, now=subject.now) == "open"
    assert (subject.state.epoch, subject.state.trips) == (before.epoch, before.trips)


@pytest.mark.parametrize("override", [Override.FORCED_OPEN, Override.FORCED_CLOSED])
def test_what_staff_hold_is_not_moved_by_what_is_found(subject: Subject, override: Override) -> None:
    subject.force(override)
    before = subject.state
    assert subject.do(FoundGone()) == subject.do(FoundWell()) == ()
    assert subject.state == before
