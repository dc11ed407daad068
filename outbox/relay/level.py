"""Where the backlogged lanes of a relay stand in virtual time, for relays to compare.

Every relay is fair to the lanes that it holds. Between relays that are not equally fast, equal numbers of lanes are not
fair: so a relay that is ahead of the others takes more lanes, one that is behind takes fewer.
"""

from __future__ import annotations

PACE_SECONDS = 0.5
"""Over how long a pace is measured, at least."""
STALE_SECONDS = 1.0
"""Without a backlog for so long, a relay stands nowhere."""
MOST_SHIFT = 0.5
"""No relay's part is larger or smaller than an equal one by more than this."""
SHIFT_PER_SECOND = 0.3
"""How much its part grows for every second that it is ahead by."""
USUAL_WEIGHT = 0.2
"""Of a new pace in the usual one. When the broker stalls for a moment, no lead is worth minutes for it."""


class Level:
    """Rises as the lanes are served. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.pace = 0.0
        """Units of virtual time per second by which each backlogged lane is served now, on average."""
        self._usual = 0.0
        self._value = 0.0
        self._at = float("-inf")
        self._served = 0.0
        self._base = (0.0, 0.0)

    def note(self, value: float, now: float, *, served: float) -> None:
        """After a round: where its backlogged lanes stand, on average, and by how much it has served them.

        The pace follows from that and not from the level, which jumps when lanes come and go.
        """
        self._served += served
        if now - self._at > STALE_SECONDS:
            self._base, self.pace, self._usual = (self._served, now), 0.0, 0.0
        self._value, self._at = value, now
        before, at = self._base
        if now - at >= PACE_SECONDS:
            self.pace = (self._served - before) / (now - at)
            self._usual += USUAL_WEIGHT * (self.pace - self._usual) if self._usual else self.pace
            self._base = (self._served, now)

    def value(self, now: float) -> float | None:
        """Carried on to now. None: there is no backlog."""
        if now - self._at > STALE_SECONDS:
            return None
        return self._value + self.pace * (now - self._at)

    def shift(self, others: float | None, now: float) -> float:
        """By which part of an equal share this relay's lanes should be more (or, below zero, fewer)."""
        return max(-MOST_SHIFT, min(MOST_SHIFT, SHIFT_PER_SECOND * self.ahead_by(others, now)))

    def ahead_by(self, others: float | None, now: float) -> float:
        """Seconds by which the lanes of this relay are ahead of the others'; below zero: behind."""
        mine = self.value(now)
        if mine is None or others is None or not self._usual:
            return 0.0
        return (mine - others) / self._usual
