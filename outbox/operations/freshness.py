"""Counting what waits where nobody else does: with all relays dead, staff look hardest."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

import psycopg

from outbox import counting

logger = logging.getLogger(__name__)

COUNT_AFTER = timedelta(seconds=15)
"""While a relay runs no count gets so old, unless counting itself takes long."""

_counting = threading.Lock()


def is_stale(taken_at: datetime | None, *, now: datetime) -> bool:
    """Whether a count of that time is too old to be looked at; None: there is none."""
    return taken_at is None or now - taken_at > COUNT_AFTER


def count_soon(*, using: str) -> threading.Thread | None:
    """Count in a thread and a session of its own, unless a process does or is not due to. At most one at a time.

    Returns the thread; None when this process counts already.
    """
    if not _counting.acquire(blocking=False):
        return None
    thread = threading.Thread(target=_count, args=[using], name="outbox-count", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        _counting.release()
        raise
    return thread


def _count(alias: str) -> None:
    try:
        counting.count_if_due(alias=alias)
    except psycopg.Error as error:
        logger.warning("What waits could not be counted, the last count stands: %s", " ".join(str(error).split()))
    finally:
        _counting.release()
