"""What happens to a circuit, and what follows from it. Times are the database's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Phase(StrEnum):
    """Where an automatic circuit stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Override(StrEnum):
    """Whether staff have taken a circuit into their own hands."""

    AUTO = "auto"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


class Why(StrEnum):
    """What moved a circuit."""

    FAILURES = "failures"
    RATE = "rate"
    PROBE_FAILED = "probe_failed"
    PROBES_SUCCEEDED = "probes_succeeded"
    INTERVAL_OVER = "interval_over"
    FOUND_GONE = "found_gone"
    """A probe beside the calls had no answer."""
    FOUND_WELL = "found_well"
    OVERRIDE_EXPIRED = "override_expired"
    STAFF = "staff"
    THRESHOLDS = "thresholds"
    """Staff changed thresholds; the state stayed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitState:
    """All that is known of a circuit beside its thresholds. A circuit without a row is the default."""

    phase: Phase = Phase.CLOSED
    epoch: int = 0
    """Grows with each change of phase, each probe and each intervention: results of an older one are dropped."""
    failures: int = 0
    last_failure_at: datetime | None = None
    trips: int = 0
    """How often it has opened since it was last stable."""
    opened_at: datetime | None = None
    open_until: datetime | None = None
    probe_until: datetime | None = None
    """End of the lease of the probe under way."""
    probe_successes: int = 0
    closed_at: datetime | None = None
    """When it last closed after having been open."""
    override: Override = Override.AUTO
    override_by: str = ""
    override_reason: str = ""
    override_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Acquire:
    """Somebody wants to make a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The call that was let through in this epoch has succeeded."""

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It has failed."""

    epoch: int
    error_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """It says nothing about the dependency: cancelled, or failed for a reason of the caller's own."""

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A process has found the failure rate exceeded in its own window, in mode rate."""

    epoch: int
    calls: int
    failures: int
    error_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGone:
    """A probe beside the calls had no answer: nobody need find out by a call of their own."""

    error_code: str = ""
    still: bool = False
    """It had none before either: a circuit that is closed by now stays closed."""


@dataclass(frozen=True, slots=True)
class FoundWell:
    """A probe beside the calls was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """From where somebody decides."""

    source: str = ""
    """`admin` or `command`; empty: the application's own code."""
    address: str | None = None
    """The client's, in the admin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Force:
    """Staff hold the circuit open or closed, for ever or until some time."""

    override: Override
    by: str
    reason: str
    until: datetime | None = None
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Automatic:
    """Staff leave the circuit to itself again, as it was before."""

    by: str
    reason: str
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Staff close the circuit and forget all failures; it is automatic afterwards."""

    by: str
    reason: str
    origin: Origin = Origin()


Event = Acquire | Succeeded | Failed | Released | Exceeded | FoundGone | FoundWell | Force | Automatic | Reset


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The call may be made; its result is to be told with this epoch."""

    epoch: int
    probe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The call must not be made. `retry_after` is in seconds."""

    state: str
    retry_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """For the history. States are those of `Phase`, `forced_open` and `forced_closed`."""

    from_state: str
    to_state: str
    why: Why
    epoch: int
    at: datetime
    by: str = ""
    reason: str = ""
    failures: int = 0
    calls: int | None = None
    error_code: str = ""
    until: datetime | None = None
    decision: str = ""
    """What staff decided: force_open, force_closed, automatic or reset."""
    origin: Origin = Origin()


Effect = Allowed | Refused | Transition
