"""A lane's circuit as the relay knows it that holds the lane: read at the claim and at every renewal.

While it is closed it costs nothing. While it is half-open the relay asks for leave before each event, sends one, tells
how it ended and asks again: nobody else can, since nobody else has the lane.
"""

from __future__ import annotations

import enum

NAME = "publish"
"""What the relay's circuits go by, as in the statements."""
CHANNEL = "circuits"
"""Where the database says which circuits have changed: tenant, blank, name."""

FEW = 16
"""Events that a lane sends at a time of which nothing but failures came back last."""


class Probe(enum.Enum):
    """Where a half-open circuit's next event stands."""

    NONE = "none"
    """The circuit is not half-open."""
    WANTED = "wanted"
    """Leave has to be asked for."""
    ASKED = "asked"
    GRANTED = "granted"
    """One event may be sent."""
    SENT = "sent"
    JUDGED = "judged"
    """How it ended is being settled and told."""


class LaneCircuit:
    __slots__ = ("barred", "doubtful", "epoch", "failing", "probe")

    def __init__(self, *, epoch: int = 0, failing: bool = False, by_probe: bool = False) -> None:
        self.epoch = epoch
        self.failing = failing
        """Whether failures are on record, so that a success has to be told."""
        self.doubtful = False
        """Whether the last that came back were failures only."""
        self.probe = Probe.WANTED if by_probe else Probe.NONE
        self.barred = False
        """Open: nothing more is sent, and the lane is given back."""

    @property
    def may_send(self) -> bool:
        return not self.barred and self.probe in _SENDING

    @property
    def closed(self) -> bool:
        """As far as is known here."""
        return not self.barred and self.probe is Probe.NONE

    def most(self) -> float:
        """Events it may have under way."""
        if self.probe is not Probe.NONE:
            return 1
        return FEW if self.doubtful else float("inf")

    def renewed(self, *, epoch: int, failing: bool, by_probe: bool, may_call: bool) -> None:
        """What a renewal has read. It may be older than the answer that is known here, or about to come."""
        if self.probe is Probe.ASKED or epoch < self.epoch:
            return
        if by_probe and epoch == self.epoch and self.probe is not Probe.NONE:
            return
        self.epoch, self.failing = epoch, failing
        if not may_call:
            self.barred = True
        elif self.probe in _UNUSED:
            self.probe = Probe.WANTED if by_probe else Probe.NONE

    def granted(self, *, epoch: int, probe: bool) -> None:
        """The answer to what was asked. No probe: it has closed meanwhile, or nobody could be asked."""
        self.epoch = max(self.epoch, epoch)
        self.probe = Probe.GRANTED if probe else Probe.NONE
        self.failing = False

    def refused(self) -> None:
        self.probe, self.barred = Probe.NONE, True

    def judged(self, *, failed: bool) -> None:
        """What came of the probe has been told."""
        self.probe = Probe.NONE if failed else Probe.WANTED
        self.barred = self.barred or failed


_SENDING = (Probe.NONE, Probe.GRANTED)
_UNUSED = (Probe.NONE, Probe.WANTED, Probe.GRANTED)
