"""When a relay at rest reads the lanes that it holds, though nobody told it to."""

from __future__ import annotations

PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Seconds between looks after work, one after the other."""
TOLD = 4
"""How many of the first are left out while wake-ups tell of everything: each reads all lanes that are held."""
UNTOLD_SECONDS = 1.0
"""A lane that has work, and of which no wake-up has told for so long, is one whose commits nobody tells of."""
UNTOLD_FOR_SECONDS = 10.0
"""For how long no look is left out after one has found such a lane."""


class Looks:
    """Soon after work and rarer from then on. Times are monotonic seconds."""

    def __init__(self, *, longest: float) -> None:
        self.due = 0.0
        self._longest = longest
        self._next = 0
        self._untold_at = -UNTOLD_FOR_SECONDS

    def found_work(self) -> None:
        self._next = 0

    def found_untold(self, *, told_at: float, now: float) -> None:
        """A look has found events of a lane, the last wake-up for which was at `told_at`."""
        if now - told_at > UNTOLD_SECONDS:
            self._untold_at = now

    def look(self, now: float) -> None:
        """One is taken now; the next one is due after a pause."""
        if now - self._untold_at >= UNTOLD_FOR_SECONDS:
            self._next = max(self._next, TOLD)
        self.due = now + min(PAUSES[min(self._next, len(PAUSES) - 1)], self._longest)
        self._next += 1
