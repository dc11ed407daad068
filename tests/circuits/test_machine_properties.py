"""What holds for a circuit whatever happens to it, in whatever order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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

FORCED = [Override.FORCED_OPEN, Override.FORCED_CLOSED]
POLICIES = st.builds(
    Policy,
    mode=st.sampled_from(Mode),
    failure_threshold=st.integers(1, 4),
    decay=st.floats(0.5, 60),
    reset_interval=st.floats(0.5, 30),
    max_reset_interval=st.floats(30, 120),
    half_open_probes=st.integers(1, 3),
    probe_lease=st.floats(0.5, 20),
    stable_time=st.floats(0, 100),
    jitter=st.floats(0, 1),
)


class Circuit(RuleBasedStateMachine):
    """One circuit that many processes use, of which some die and some are late."""

    def __init__(self) -> None:
        super().__init__()
        self.state = CircuitState()
        self.policy = Policy(max_reset_interval=120)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.chance = 0.0
        self.calls: list[Allowed] = []
        self.leases: dict[int, datetime] = {}
        self.closed_by: list[int] = []

    def do(self, event: Event) -> tuple[Effect, ...]:
        before = self.state
        self.state, effects = machine.step(self.state, self.policy, event, now=self.now, chance=self.chance)
        self._check_history(before, effects)
        return effects

    def _check_history(self, before: CircuitState, effects: tuple[Effect, ...]) -> None:
        assert self.state.epoch >= before.epoch
        moved = [each for each in effects if isinstance(each, Transition)]
        if (before.phase, before.override) != (self.state.phase, self.state.override):
            assert moved, "every move is told"
            assert self.state.epoch > before.epoch

    @rule(policy=POLICIES)
    def staff_change_thresholds(self, policy: Policy) -> None:
        self.policy = policy

    @rule(seconds=st.floats(0, 200), chance=st.floats(0, 1))
    def time_passes(self, seconds: float, chance: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.chance = chance

    @rule()
    def somebody_wants_to_call(self) -> None:
        (decision,) = (each for each in self.do(Acquire()) if isinstance(each, Allowed | Refused))
        if isinstance(decision, Refused):
            assert decision.retry_after >= 0
            return
        if decision.probe:
            assert not self._probe_is_alive(), "two probes at once"
            self.leases[decision.epoch] = self.now + timedelta(seconds=self.policy.probe_lease)
        self.calls.append(decision)

    def _probe_is_alive(self) -> bool:
        """Whether a probe that was let through has neither reported nor outlived its lease, and still counts."""
        lease = self.leases.get(self.state.epoch)
        return lease is not None and lease > self.now

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), result=st.sampled_from(["succeeded", "failed", "released", "died"]))
    def a_call_ends(self, data: st.DataObject, result: str) -> None:
        call = data.draw(st.sampled_from(self.calls))
        self.calls.remove(call)
        if result == "died":
            return
        before = self.state
        kind = {"succeeded": Succeeded, "failed": Failed, "released": Released}[result]
        self.do(kind(epoch=call.epoch))
        if call.epoch != before.epoch:
            assert self.state.phase is before.phase, "a late result moves nothing"
        if before.phase is Phase.HALF_OPEN and self.state.phase is Phase.CLOSED:
            assert (call.epoch, call.probe, result) == (before.epoch, True, "succeeded")
        if call.probe:
            self.leases.pop(call.epoch, None)

    @rule(calls=st.integers(1, 50))
    def a_process_finds_the_rate_exceeded(self, calls: int) -> None:
        self.do(Exceeded(epoch=self.state.epoch, calls=calls, failures=calls))

    @rule(still=st.booleans())
    def a_probe_beside_the_calls_has_no_answer(self, still: bool) -> None:
        before = self.state
        moved = self.do(FoundGone(error_code="down", still=still))
        if before.override is Override.AUTO and before.phase is Phase.CLOSED:
            assert (self.state.phase is Phase.OPEN) != still
        elif before.phase is Phase.OPEN:
            assert self.state.phase is Phase.OPEN
            assert self.state.trips == before.trips
        assert [each.why for each in moved if isinstance(each, Transition)][:1] != [Why.PROBE_FAILED]

    @rule()
    def a_probe_beside_the_calls_is_answered(self) -> None:
        self.do(FoundWell())
        if self.state.override is Override.AUTO:
            assert self.state.phase is Phase.CLOSED
        before = self.state
        self.do(FoundWell())
        assert self.state == before, "whoever comes later has nothing to write"

    @rule(override=st.sampled_from(FORCED), seconds=st.none() | st.floats(1, 300))
    def staff_force_it(self, override: Override, seconds: float | None) -> None:
        until = None if seconds is None else self.now + timedelta(seconds=seconds)
        self.do(Force(override=override, by="ann", reason="because", until=until))

    @rule()
    def staff_leave_it_to_itself(self) -> None:
        self.do(Automatic(by="ann", reason="because"))
        assert self.state.override is Override.AUTO

    @rule()
    def staff_reset_it(self) -> None:
        self.do(Reset(by="ann", reason="because"))
        assert machine.visible(self.state, now=self.now) == "closed"

    @precondition(lambda self: self.state.override is not Override.AUTO and self.state.override_until is None)
    @rule(data=st.data())
    def forced_it_never_moves_by_itself(self, data: st.DataObject) -> None:
        epoch = self.state.epoch
        before = self.state
        events: list[Event] = [Acquire(), Succeeded(epoch=epoch), Failed(epoch=epoch), Released(epoch=epoch)]
        for event in [*events, Exceeded(epoch=epoch, calls=9, failures=9), FoundGone(), FoundWell()]:
            self.now += timedelta(seconds=data.draw(st.floats(0, 100_000)))
            self.do(event)
            assert self.state == before

    @rule()
    def looking_at_it_changes_nothing(self) -> None:
        before = replace(self.state)
        machine.visible(self.state, now=self.now)
        machine.failures_in_a_row(self.state, self.policy, now=self.now)
        assert self.state == before

    @precondition(lambda self: self.state.override is Override.AUTO and self.state.phase is Phase.CLOSED)
    @rule()
    def failures_that_are_old_do_not_count(self) -> None:
        self.now += timedelta(seconds=self.policy.decay)
        assert machine.failures_in_a_row(self.state, self.policy, now=self.now) == 0
        self.do(Failed(epoch=self.state.epoch))
        if self.policy.mode is Mode.CONSECUTIVE:
            assert (self.state.phase is Phase.OPEN) == (self.policy.failure_threshold == 1)

    @invariant()
    def it_is_never_stuck(self) -> None:
        """An automatic circuit that nobody reports to lets a call through, at the latest after its longest wait."""
        if self.state.override is not Override.AUTO and self.state.override_until is None:
            return
        ends = [self.state.override_until, self.state.open_until, self.state.probe_until]
        later = max([self.now, *(end for end in ends if end is not None)])
        _, effects = machine.step(self.state, self.policy, Acquire(), now=later, chance=0)
        assert any(isinstance(each, Allowed) for each in effects)

    @invariant()
    def it_never_stays_open_for_longer_than_the_cap(self) -> None:
        if self.state.open_until is not None:
            assert self.state.open_until - self.now <= timedelta(seconds=120)

    @invariant()
    def it_keeps_what_the_database_asks_of_a_row(self) -> None:
        assert (self.state.phase is Phase.OPEN) == (self.state.open_until is not None)
        if self.state.phase is not Phase.HALF_OPEN:
            assert (self.state.probe_until, self.state.probe_successes) == (None, 0)
        if self.state.override is Override.AUTO:
            assert (self.state.override_by, self.state.override_reason, self.state.override_until) == ("", "", None)


TestCircuit = Circuit.TestCase
