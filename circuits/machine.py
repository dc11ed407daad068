"""How a circuit decides: a pure function of state, policy, event and time. It knows no database, clock or chance."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

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

# Longer intervals than this many doublings are above every cap.
_MOST_DOUBLINGS = 60

Step = tuple[CircuitState, tuple[Effect, ...]]


def step(state: CircuitState, policy: Policy, event: Event, *, now: datetime, chance: float) -> Step:
    """What becomes of the circuit, and what follows: a decision for `Acquire`, transitions for the history.

    `chance`: from 0 to 1, how much of the jitter is taken off an interval that begins now.

    A state that comes back equal need not be written.
    """
    state, expired = _without_expired_override(state, now)
    state, effects = _apply(state, policy, event, now, chance)
    return state, (*expired, *effects)


def visible(state: CircuitState, *, now: datetime) -> str:
    """The state as people see it: an open circuit whose interval is over is half-open."""
    override = _override(state, now)
    if override is not Override.AUTO:
        return override.value
    if state.phase is Phase.OPEN and _is_over(state.open_until, now):
        return Phase.HALF_OPEN.value
    return state.phase.value


def failures_in_a_row(state: CircuitState, policy: Policy, *, now: datetime) -> int:
    """Failures that still count: after `decay` seconds without another one, none."""
    if state.last_failure_at is None or now - state.last_failure_at >= timedelta(seconds=policy.decay):
        return 0
    return state.failures


def reset_interval(policy: Policy, *, trips: int, chance: float) -> timedelta:
    """How long the circuit stays open after having opened `trips` times before without becoming stable."""
    longest = min(policy.reset_interval * 2.0 ** min(trips, _MOST_DOUBLINGS), policy.max_reset_interval)
    return timedelta(seconds=longest * (1 - policy.jitter * chance))


def _apply(state: CircuitState, policy: Policy, event: Event, now: datetime, chance: float) -> Step:
    match event:
        case Force() | Automatic() | Reset():
            return _obey(state, event, now)
        case Acquire():
            return _decide(state, policy, now)
        case FoundGone() | FoundWell():
            return _believe(state, policy, event, now, chance)
        case _ if state.override is not Override.AUTO or event.epoch != state.epoch:
            return state, ()
    if state.phase is Phase.CLOSED:
        return _count(state, policy, event, now, chance)
    if state.phase is Phase.HALF_OPEN and state.probe_until is not None:
        return _judge_probe(state, policy, event, now, chance)
    return state, ()


def _decide(state: CircuitState, policy: Policy, now: datetime) -> Step:
    if state.override is Override.FORCED_OPEN:
        wait = _seconds(state.override_until, now) if state.override_until else policy.reset_interval
        return state, (Refused(state=state.override.value, retry_after=wait),)
    if state.override is Override.FORCED_CLOSED or state.phase is Phase.CLOSED:
        return state, (Allowed(epoch=state.epoch, probe=False),)
    until = state.open_until if state.phase is Phase.OPEN else state.probe_until
    if not _is_over(until, now):
        return state, (Refused(state=state.phase.value, retry_after=_seconds(until, now)),)
    return _let_probe_through(state, policy, now)


def _let_probe_through(state: CircuitState, policy: Policy, now: datetime) -> Step:
    lease = now + timedelta(seconds=policy.probe_lease)
    probing = replace(state, phase=Phase.HALF_OPEN, epoch=state.epoch + 1, open_until=None, probe_until=lease)
    allowed = Allowed(epoch=probing.epoch, probe=True)
    if state.phase is Phase.HALF_OPEN:
        return probing, (allowed,)
    probing = replace(probing, probe_successes=0)
    return probing, (_transition(state, probing, now, why=Why.INTERVAL_OVER), allowed)


def _count(state: CircuitState, policy: Policy, event: Event, now: datetime, chance: float) -> Step:
    match event:
        case Succeeded() if state.failures:
            return replace(state, failures=0, last_failure_at=None), ()
        case Failed() if policy.mode is Mode.CONSECUTIVE:
            failures = failures_in_a_row(state, policy, now=now) + 1
            counted = replace(state, failures=failures, last_failure_at=now)
            if failures < policy.failure_threshold:
                return counted, ()
            return _open(counted, policy, now, chance, why=Why.FAILURES, error_code=event.error_code)
        case Exceeded() if policy.mode is Mode.RATE:
            counted = replace(state, failures=event.failures, last_failure_at=now)
            return _open(counted, policy, now, chance, why=Why.RATE, error_code=event.error_code, calls=event.calls)
    return state, ()


def _judge_probe(state: CircuitState, policy: Policy, event: Event, now: datetime, chance: float) -> Step:
    match event:
        case Failed():
            return _open(state, policy, now, chance, why=Why.PROBE_FAILED, error_code=event.error_code)
        case Succeeded():
            over = replace(state, probe_until=None, probe_successes=state.probe_successes + 1)
            return (
                (over, ())
                if over.probe_successes < policy.half_open_probes
                else _close(over, now, why=Why.PROBES_SUCCEEDED)
            )
        case Released():
            return replace(state, probe_until=None), ()
    return state, ()


def _believe(state: CircuitState, policy: Policy, event: FoundGone | FoundWell, now: datetime, chance: float) -> Step:
    if state.override is not Override.AUTO:
        return state, ()
    match event:
        case FoundWell() if state.phase is not Phase.CLOSED:
            return _close(state, now, why=Why.FOUND_WELL)
        case FoundGone() if state.phase is Phase.CLOSED and not event.still:
            return _open(state, policy, now, chance, why=Why.FOUND_GONE, error_code=event.error_code)
        case FoundGone() if state.phase is Phase.OPEN:
            return _stay_open(state, policy, now, chance), ()
    return state, ()


def _stay_open(state: CircuitState, policy: Policy, now: datetime, chance: float) -> CircuitState:
    """Its interval begins anew, once half of it is over: not every word of it is worth a write."""
    interval = reset_interval(policy, trips=max(0, state.trips - 1), chance=chance)
    if state.open_until is not None and state.open_until - now > interval / 2:
        return state
    return replace(state, open_until=now + interval)


def _open(
    state: CircuitState, policy: Policy, now: datetime, chance: float, *, why: Why, error_code: str, **counts: Any
) -> Step:
    trips = 0 if _is_stable(state, policy, now) else state.trips
    opened = replace(
        state,
        phase=Phase.OPEN,
        epoch=state.epoch + 1,
        trips=trips + 1,
        opened_at=now,
        open_until=now + reset_interval(policy, trips=trips, chance=chance),
        probe_until=None,
        probe_successes=0,
    )
    return opened, (_transition(state, opened, now, why=why, error_code=error_code, **counts),)


def _is_stable(state: CircuitState, policy: Policy, now: datetime) -> bool:
    return (
        state.phase is Phase.CLOSED
        and state.closed_at is not None
        and now - state.closed_at >= timedelta(seconds=policy.stable_time)
    )


def _close(state: CircuitState, now: datetime, *, why: Why) -> Step:
    closed = replace(
        state,
        phase=Phase.CLOSED,
        epoch=state.epoch + 1,
        failures=0,
        last_failure_at=None,
        open_until=None,
        probe_until=None,
        probe_successes=0,
        closed_at=now,
    )
    return closed, (_transition(state, closed, now, why=why),)


def _obey(state: CircuitState, event: Force | Automatic | Reset, now: datetime) -> Step:
    match event:
        case Force():
            forced = replace(
                _left_alone(state),
                override=event.override,
                override_by=event.by,
                override_reason=event.reason,
                override_until=event.until,
                probe_until=None,
                failures=0,
                last_failure_at=None,
            )
            return forced, (_by_staff(state, forced, event, now, until=event.until),)
        case Automatic():
            if state.override is Override.AUTO:
                return state, ()
            changed = _left_alone(state)
        case Reset():
            changed = CircuitState(epoch=state.epoch + 1, opened_at=state.opened_at)
    return changed, (_by_staff(state, changed, event, now),)


def _left_alone(state: CircuitState) -> CircuitState:
    return replace(
        state,
        epoch=state.epoch + 1,
        override=Override.AUTO,
        override_by="",
        override_reason="",
        override_until=None,
    )


def _without_expired_override(state: CircuitState, now: datetime) -> Step:
    if state.override is Override.AUTO or _override(state, now) is not Override.AUTO:
        return state, ()
    changed = _left_alone(state)
    return changed, (_transition(state, changed, now, why=Why.OVERRIDE_EXPIRED),)


def _override(state: CircuitState, now: datetime) -> Override:
    return Override.AUTO if state.override_until is not None and now >= state.override_until else state.override


def _by_staff(
    before: CircuitState, after: CircuitState, event: Force | Automatic | Reset, now: datetime, **until: Any
) -> Transition:
    told = {"by": event.by, "reason": event.reason, "origin": event.origin, "decision": _decision(event), **until}
    return _transition(before, after, now, why=Why.STAFF, **told)


def _decision(event: Force | Automatic | Reset) -> str:
    match event:
        case Force():
            return "force_open" if event.override is Override.FORCED_OPEN else "force_closed"
        case Automatic():
            return "automatic"
        case Reset():
            return "reset"


def _transition(before: CircuitState, after: CircuitState, now: datetime, *, why: Why, **told: Any) -> Transition:
    return Transition(
        from_state=_name(before),
        to_state=_name(after),
        why=why,
        epoch=after.epoch,
        at=now,
        failures=before.failures,
        **told,
    )


def _name(state: CircuitState) -> str:
    return state.phase.value if state.override is Override.AUTO else state.override.value


def _is_over(until: datetime | None, now: datetime) -> bool:
    return until is None or now >= until


def _seconds(until: datetime | None, now: datetime) -> float:
    return max(0.0, (until - now).total_seconds()) if until is not None else 0.0
