"""When a circuit opens and closes: the thresholds, their bounds, and where each value comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from circuits.errors import InvalidThreshold


class Mode(StrEnum):
    CONSECUTIVE = "consecutive"
    RATE = "rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The thresholds of one circuit. Times are in seconds."""

    mode: Mode = Mode.CONSECUTIVE
    failure_threshold: int = 5
    decay: float = 60.0
    failure_rate: float = 0.5
    minimum_calls: int = 20
    rate_window: float = 60.0
    slow_call: float = 0.0
    reset_interval: float = 30.0
    max_reset_interval: float = 300.0
    half_open_probes: int = 1
    probe_lease: float = 30.0
    stable_time: float = 300.0
    jitter: float = 0.1

    def with_changes(self, changes: Mapping[str, Any]) -> Policy:
        """This policy with the values of one tenant; None keeps what is here.

        A reset interval above the longest one, which defaults that changed later may lead to, is the longest itself.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        if "mode" in given:
            given["mode"] = Mode(given["mode"])
        changed = replace(self, **given)
        return replace(changed, max_reset_interval=max(changed.reset_interval, changed.max_reset_interval))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one threshold may be, in a setting as in a row."""

    help: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None

    def problem(self, value: int | float) -> str | None:
        """What is wrong with the value, if anything."""
        if isinstance(value, float) and not math.isfinite(value):
            return "must be finite"
        if self.at_least is not None and value < self.at_least:
            return f"must be at least {self.at_least:g}"
        if self.above is not None and value <= self.above:
            return f"must be above {self.above:g}"
        if self.at_most is not None and value > self.at_most:
            return f"must be at most {self.at_most:,.15g}"
        return None


LONGEST = 2_592_000
"""Thirty days, in seconds."""

BOUNDS: Mapping[str, Bounds] = {
    "failure_threshold": Bounds(help="Failures in a row that open the circuit.", at_least=1, at_most=1_000_000),
    "decay": Bounds(
        help="Seconds without a failure after which the failures in a row are forgotten.", above=0, at_most=LONGEST
    ),
    "failure_rate": Bounds(help="Share of failed calls that opens the circuit, in mode rate.", above=0, at_most=1),
    "minimum_calls": Bounds(
        help="Calls of one process within the window below which the rate says nothing.", at_least=1, at_most=1_000_000
    ),
    "rate_window": Bounds(help="Seconds over which each process takes its failure rate.", at_least=1, at_most=3_600),
    "slow_call": Bounds(
        help="Seconds after which a call that succeeds counts as failed; 0: never.", at_least=0, at_most=3_600
    ),
    "reset_interval": Bounds(
        help="Seconds that the circuit stays open at first; doubled each time it opens again.", above=0, at_most=LONGEST
    ),
    "max_reset_interval": Bounds(help="Most seconds that the circuit stays open.", above=0, at_most=LONGEST),
    "half_open_probes": Bounds(
        help="Successes in a row that close the circuit again, one call at a time.", at_least=1, at_most=1_000
    ),
    "probe_lease": Bounds(
        help="Seconds that a probe may take before it is given up for dead and another goes.", above=0, at_most=3_600
    ),
    "stable_time": Bounds(
        help="Seconds closed after which the circuit opens for the first reset interval again.",
        at_least=0,
        at_most=LONGEST,
    ),
    "jitter": Bounds(help="Share of the reset interval that chance may take off.", at_least=0, at_most=1),
}
MODE_HELP = "What opens the circuit: consecutive failures, or their rate in one process."

THRESHOLDS = tuple(each.name for each in fields(Policy) if each.name != "jitter")
"""What each tenant may have a value of its own for."""

WHOLE_NUMBERS = frozenset(("failure_threshold", "minimum_calls", "half_open_probes"))


def check(defaults: Policy, changes: Mapping[str, Any]) -> None:
    """Raises `InvalidThreshold` for the first value that a tenant's row must not have. None is the default."""
    for name, value in changes.items():
        if name in BOUNDS and value is not None and (problem := BOUNDS[name].problem(value)):
            raise InvalidThreshold(name, value, problem)
    longest = _or_default(changes.get("max_reset_interval"), defaults.max_reset_interval)
    first = _or_default(changes.get("reset_interval"), defaults.reset_interval)
    if first > longest:
        default = " (the default)"
        whose = "" if changes.get("max_reset_interval") is not None else default
        if changes.get("reset_interval") is None:
            reason = f"must be at least reset_interval, which is {first:g}{default}"
            raise InvalidThreshold("max_reset_interval", longest, reason)
        raise InvalidThreshold("reset_interval", first, f"must be at most max_reset_interval={longest:g}{whose}")


def _or_default(value: float | None, default: float) -> float:
    return default if value is None else value
