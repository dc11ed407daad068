"""Late commits: how far behind its cursor a lane must look, and from where a next holder must start.

`created_at` is taken when an event is inserted, but the event becomes visible when its transaction commits, so an
event may appear behind the cursor. Only a transaction that holds a transaction id can still commit events, and it has
created none before its own start. So between two samples of such transactions nothing can have appeared that was
created before the start of one that ended in between, or before the earlier sample (less `SLACK` for the moment
between taking the time and taking the id). A transaction that stays open costs nothing until it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SLACK_US = 1_000_000
BLIND_LOOK_SECONDS = 10.0
"""Where other roles' sessions are hidden: how often everything is looked through."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the open transactions."""

    look_from: int
    """What committed since the sample before was created at or after this; microseconds since 2000-01-01 UTC."""
    safe: int
    """What has not been visible to a statement begun after this sample was, or will be, created at or after this."""
    db_now: int
    at: float
    """Monotonic clock at `db_now`."""


class Sampler:
    """Turns rows of writers.sql into samples. Not thread-safe: it belongs to the watcher."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._before: int = 0
        self._blind_since = float("-inf")

    def take(self, rows: Iterable[tuple[str, int | None, bool]], *, db_now: int, at: float) -> Sample:
        """`db_now` must be read before `rows`, and both before the fetch that relies on them."""
        rows = list(rows)
        blind = any(hidden for _, _, hidden in rows)
        now_open = {
            name: self._open.get(name, 0 if start is None else start) for name, start, hidden in rows if not hidden
        }
        ended = [start for name, start in self._open.items() if name not in now_open]
        look_from = min([self._before, *ended])
        safe = min([db_now - SLACK_US, *now_open.values()])
        self._open, self._before = now_open, db_now - SLACK_US
        if blind:
            safe = 0
            if at - self._blind_since >= BLIND_LOOK_SECONDS:
                look_from, self._blind_since = 0, at
        return Sample(look_from=max(0, look_from), safe=max(0, safe), db_now=db_now, at=at)
