"""How many events a round may have so that it takes the time it should."""

from __future__ import annotations

from outbox.conf import OutboxSettings

FEWEST = 50
LATEST = 0.2
"""How much the latest round counts."""
AMONG_RELAYS = 0.5
"""Part of a round's time that it has beside other relays: equal shares are as good as what these know of each other."""
QUIET_WAKE_SECONDS = 1.0
"""A quiet tenant that woke within this time makes rounds short."""


class Pace:
    """Batch size from the measured time per event.

    An exponentially weighted mean, so one slow round changes little; of the first rounds a plain one, so that what is
    guessed at the beginning counts for nothing.
    """

    def __init__(self, settings: OutboxSettings) -> None:
        self._settings = settings
        self._per_event = settings.round_seconds / min(1_000, settings.batch_size)
        self._measured = 0
        self.is_alone = True
        """Whether there is no other relay."""
        self._express_at = float("-inf")

    def quiet_lane_woke(self, now: float) -> None:
        self._express_at = now

    def round_seconds(self, now: float) -> float:
        seconds = self._settings.round_seconds * (1.0 if self.is_alone else AMONG_RELAYS)
        if now - self._express_at < QUIET_WAKE_SECONDS:
            return min(self._settings.express_round_seconds, seconds)
        return seconds

    def batch(self, now: float) -> int:
        wanted = int(self.round_seconds(now) / self._per_event)
        return min(self._settings.batch_size, max(min(FEWEST, self._settings.batch_size), wanted))

    def took(self, *, events: int, seconds: float) -> None:
        # Small rounds are all overhead and say nothing about the cost of an event.
        if events >= FEWEST:
            self._measured += 1
            self._per_event += max(LATEST, 1 / self._measured) * (seconds / events - self._per_event)
