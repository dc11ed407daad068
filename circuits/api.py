"""What applications and other apps use.

`Circuit` guards calls. Whoever makes calls in bulk, or decides in SQL which may be made, asks with `acquire` or the
view `circuits_now` and tells the outcomes with `record` or `record_many`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from circuits.errors import CircuitError, CircuitOpen, InvalidName, StoreUnavailable
from circuits.events import Event, Failed, FoundGone, FoundWell, Refused, Released, Succeeded
from circuits.guard import Call, Circuit, clean_code
from circuits.metrics import REFUSED
from circuits.names import EVERY_TENANT, Key, checked_key
from circuits.policy import Mode
from circuits.process import process

__all__ = [
    "EVERY_TENANT",
    "Call",
    "Circuit",
    "CircuitError",
    "CircuitOpen",
    "InvalidName",
    "Outcome",
    "OutcomeKind",
    "Permit",
    "StoreUnavailable",
    "acquire",
    "counts_in_a_row",
    "found",
    "record",
    "record_many",
]


class OutcomeKind(StrEnum):
    """How a call ended; `ignored` says nothing about the dependency."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave to make a call. Its outcome is to be recorded with this epoch."""

    epoch: int
    probe: bool
    """Whether the circuit is half-open. Then this is the only call, until its outcome is recorded or it is given up for
    dead after `probe_lease` seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a call ended that was let through in this epoch."""

    tenant_id: str
    name: str
    outcome: OutcomeKind
    epoch: int
    error_code: str = ""
    probe: bool = False


def acquire(*, tenant_id: str, name: str, fresh: bool = False) -> Permit:
    """Leave to make a call whose outcome is then recorded. Costs the database nothing while the circuit is closed.

    `fresh`: ask the database all the same, as whoever has seen there that the circuit is half-open.

    Raises `CircuitOpen` if the call must not be made, and `InvalidName`. If the database cannot be reached, the call
    may be made.
    """
    key = checked_key(tenant_id, name)
    view = process.view(key)
    decision = (None if fresh else view.decide()) or process.acquire(key)
    if isinstance(decision, Refused):
        REFUSED.labels(name).inc()
        raise CircuitOpen(tenant_id, name, decision.state, decision.retry_after)
    return Permit(epoch=decision.epoch, probe=decision.probe)


def record(
    *,
    tenant_id: str,
    name: str,
    outcome: OutcomeKind,
    epoch: int,
    error_code: str = "",
    probe: bool = False,
) -> bool:
    """Tell how a call ended. Returns False if the database could not be told.

    `epoch`: of the permit, or of the row of `circuits_now` by which the call was let through; 0 if there was none.
    `probe`: whether that was a probe: its outcome is always told to the database.

    On a session of its own, so nothing is undone with the caller's transaction. A success of a circuit without failures
    writes nothing. Raises `InvalidName`.
    """
    given = Outcome(tenant_id=tenant_id, name=name, outcome=outcome, epoch=epoch, error_code=error_code, probe=probe)
    return record_many([given]) == 0


def record_many(outcomes: Iterable[Outcome]) -> int:
    """Tell how many calls ended, in their order, with one write for each circuit that has something to write.

    Successes of circuits without failures need not be told. Returns how many outcomes could not be told to the
    database. Raises `InvalidName`; then none was told.
    """
    given = [(checked_key(each.tenant_id, each.name), each) for each in outcomes]
    process.prepare(key for key, _ in given)
    told: dict[Key, list[Event]] = {}
    for key, each in given:
        _add(told.setdefault(key, []), _as_event(each), key, probe=each.probe)
    return sum(len(events) for key, events in told.items() if events and not process.report(key, events))


def found(*, tenant_id: str, name: str, well: bool, still: bool = False, error_code: str = "") -> bool:
    """Tell what a probe beside the calls has found: the circuit opens or closes at once, unless it is forced.

    However many tell the same, one of them writes. `still`: the same as before; an open circuit stays open, and one
    that is closed by now stays closed. Returns False if the database could not be told. Raises `InvalidName`.
    """
    key = checked_key(tenant_id, name)
    event = FoundWell() if well else FoundGone(error_code=clean_code(error_code), still=still)
    process.view(key)
    return process.report(key, [event])


def counts_in_a_row(*, tenant_id: str, name: str) -> bool:
    """Whether failures in a row open the circuit, and not their rate among all calls. Raises `InvalidName`."""
    return process.view(checked_key(tenant_id, name)).policy.mode is Mode.CONSECUTIVE


def _add(events: list[Event], outcome: Succeeded | Failed | Released, key: Key, *, probe: bool) -> None:
    """What the process knows is older than the events that are already there, so a success after them counts."""
    event = process.view(key).judge(outcome, probe=probe)
    if event is None and events and isinstance(outcome, Succeeded) and not isinstance(events[-1], Succeeded):
        event = outcome
    if event is not None:
        events.append(event)


def _as_event(outcome: Outcome) -> Succeeded | Failed | Released:
    match outcome.outcome:
        case OutcomeKind.SUCCEEDED:
            return Succeeded(epoch=outcome.epoch)
        case OutcomeKind.FAILED:
            return Failed(epoch=outcome.epoch, error_code=clean_code(outcome.error_code))
    return Released(epoch=outcome.epoch)
