"""The end of a circuit's history: moves that nobody decided, once they are old."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import connections

from circuits import conf, sql

BATCH = 1_000
REST = 3.0
"""Times as long as a batch took: at most a quarter of a database process is busy with it."""


def prune(
    *,
    seconds: float | None = None,
    progress: Callable[[int], object] = lambda _: None,
    rest: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Delete what is older than `CIRCUITS_HISTORY_DAYS`, a few at a time. Returns how many rows went.

    `seconds`: begin no batch after that time. `progress` is told the number so far. Decisions of staff stay.
    """
    settings = conf.get()
    began, deleted = clock(), 0
    while settings.history_days is not None and (seconds is None or clock() - began < seconds):
        before = clock()
        gone = _delete(settings.database, days=settings.history_days)
        deleted += gone
        progress(deleted)
        if gone < BATCH:
            break
        rest(REST * (clock() - before))
    return deleted


def _delete(alias: str, *, days: int) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql.load("prune_history"), {"days": days, "most": BATCH})
        return int(cursor.rowcount)
