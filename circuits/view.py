"""A circuit as one process knows it, and what can be told from that without asking the database."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from circuits import machine
from circuits.events import (
    Acquire,
    Allowed,
    CircuitState,
    Event,
    Exceeded,
    Failed,
    Override,
    Phase,
    Refused,
    Released,
    Succeeded,
)
from circuits.policy import Mode, Policy
from circuits.store import Reading
from circuits.window import Window


class View:
    """What was read last, and when. Replaced as a whole when something has changed."""

    __slots__ = (
        "_clock",
        "free",
        "idle",
        "known",
        "policy",
        "quiet",
        "resetting",
        "revision",
        "state",
        "used",
        "window",
    )

    def __init__(self, reading: Reading, *, read_at: float, known: bool = True) -> None:
        self.state: CircuitState = reading.state
        self.policy: Policy = reading.policy
        self.revision = reading.revision or 0
        self.known = known
        """False when the database could not be asked: then calls go on."""
        self._clock = (reading.now, read_at)
        self.window = Window(self.policy.rate_window) if self.policy.mode is Mode.RATE else None

        closed = self.state.override is Override.AUTO and self.state.phase is Phase.CLOSED
        forced_closed = self.state.override is Override.FORCED_CLOSED and self.state.override_until is None
        self.free = closed or forced_closed
        """Whether calls are let through without any thought."""
        plain = self.policy.mode is Mode.CONSECUTIVE and not self.policy.slow_call and not self.state.failures
        self.quiet = forced_closed or (closed and plain)
        """Whether a call that succeeds leaves nothing to do."""

        self.used = True
        self.idle = 0
        self.resetting = False

    def now(self) -> datetime:
        """The database's clock, as it goes on since it was read; this host's own plays no part."""
        then, read_at = self._clock
        return then + timedelta(seconds=time.monotonic() - read_at)

    @property
    def noted_at(self) -> float:
        """When this was last known to be so, in monotonic seconds."""
        return self._clock[1]

    def is_like(self, reading: Reading) -> bool:
        """Whether the reading brings nothing new."""
        return self.known and self.state == reading.state and self.policy == reading.policy

    def confirm(self, reading: Reading, *, read_at: float) -> None:
        """Nothing has changed, except perhaps the database's idea of the time."""
        self._clock = (reading.now, read_at)
        self.revision, self.resetting = reading.revision or 0, False

    def inherit(self, before: View) -> None:
        """Takes over what the process has seen itself. A window is about one epoch alone."""
        self.used, self.idle = before.used, before.idle
        same = self.window and before.window and self.window.seconds == before.window.seconds
        if same and self.state.epoch == before.state.epoch:
            self.window = before.window

    def decide(self) -> Allowed | Refused | None:
        """Whether a call may be made, None if only the database can say."""
        state, effects = machine.step(self.state, self.policy, Acquire(), now=self.now(), chance=0)
        if state != self.state:
            return None
        return next(each for each in effects if isinstance(each, Allowed | Refused))

    def visible(self) -> str:
        """The state as people see it."""
        return machine.visible(self.state, now=self.now())

    def judge(self, outcome: Succeeded | Failed | Released, *, probe: bool) -> Event | None:
        """What the database has to be told of a call, None if nothing."""
        if probe:
            return outcome
        if isinstance(outcome, Released) or outcome.epoch < self.state.epoch:
            return None
        if self.window is not None:
            return self._judge_rate(self.window, outcome)
        if isinstance(outcome, Failed):
            return outcome if self.state.override is Override.AUTO else None
        return self._judge_success(outcome)

    def _judge_success(self, outcome: Succeeded) -> Event | None:
        """The first success after failures, once: what other calls find meanwhile is the same."""
        if not self.state.failures or self.state.phase is not Phase.CLOSED or self.resetting:
            return None
        self.resetting = True
        return outcome

    def _judge_rate(self, window: Window, outcome: Succeeded | Failed) -> Event | None:
        if self.state.phase is not Phase.CLOSED or self.state.override is not Override.AUTO:
            return None
        failed = isinstance(outcome, Failed)
        calls, failures = window.add(failed=failed, now=time.monotonic())
        if not isinstance(outcome, Failed) or calls < self.policy.minimum_calls:
            return None
        if failures < self.policy.failure_rate * calls:
            return None
        return Exceeded(epoch=outcome.epoch, calls=calls, failures=failures, error_code=outcome.error_code)
