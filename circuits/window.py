"""The calls of the last seconds, as one process has seen them."""

from __future__ import annotations

import threading

_SLICES = 10


class Window:
    """Counts calls and failures over `seconds`, a tenth of which at a time is forgotten.

    Knows no clock: `now` is any monotonic time in seconds. Safe for threads.
    """

    __slots__ = ("_calls", "_failures", "_lock", "_newest", "_slice_seconds", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._slice_seconds = seconds / _SLICES
        self._lock = threading.Lock()
        self._newest = 0
        self._calls = [0] * _SLICES
        self._failures = [0] * _SLICES

    def add(self, *, failed: bool, now: float) -> tuple[int, int]:
        """Count one call. Returns the calls and the failures within the window, this one included."""
        with self._lock:
            place = self._move_to(now)
            self._calls[place] += 1
            self._failures[place] += failed
            return sum(self._calls), sum(self._failures)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._calls = [0] * _SLICES
            self._failures = [0] * _SLICES

    def _move_to(self, now: float) -> int:
        """Forgets what is too old, and returns the place of the slice that `now` lies in."""
        newest = int(now // self._slice_seconds)
        for number in range(max(self._newest + 1, newest - _SLICES + 1), newest + 1):
            self._calls[number % _SLICES] = self._failures[number % _SLICES] = 0
        self._newest = max(self._newest, newest)
        return self._newest % _SLICES
