"""How fast a job may go: a rate that holds over any stretch of time, but for one batch."""

from __future__ import annotations

from outbox.operations.bulk import BATCH

BATCH_SECONDS = 1.0
"""A slow job has smaller batches, so that it never rests for long."""


class Pace:
    """A clock that runs ahead by what each event costs."""

    def __init__(self, *, rate: float, now: float) -> None:
        self._rate = rate
        self._free_at = now

    @property
    def size(self) -> int:
        """Most events of a batch."""
        return max(1, min(BATCH, int(self._rate * BATCH_SECONDS)))

    def charge(self, events: int, *, now: float, at_least: float = 0) -> None:
        """So many events were changed; `at_least` seconds they cost by somebody else's rate."""
        self._free_at = max(self._free_at, now) + max(events / self._rate, at_least)

    def wait(self, *, now: float) -> float:
        """Seconds until the next batch."""
        return max(0.0, self._free_at - now)
