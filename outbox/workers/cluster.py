"""The main process of a cluster: it starts the sentinel, passes on the wish to stop, and is the last to end."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable

from django_q.cluster import Cluster
from django_q.conf import Conf

from outbox.errors import OutboxError
from outbox.relay.supervisor import drain_seconds
from outbox.workers import orphans, relay

logger = logging.getLogger("outbox.workers")

POLL_SECONDS = 0.2


class ClusterFailed(OutboxError):
    """The cluster ended by itself, or did not end when asked to."""


def run(*, cluster: Cluster, asked: Callable[[], int]) -> None:
    """Run a cluster whose workers publish, until `asked` says how often it was asked to stop.

    Once: tasks under way and relays come to their end, for which they have the time-out of a task and some seconds.
    Twice: the task queue is killed; relays drain all the same. Raises `ClusterFailed` then, or when the sentinel was
    killed. Returns or raises after the last process of the cluster has ended.
    """
    orphans.look_after(cluster, stop_seconds=_stop_seconds())
    relay.run_in_workers()
    family = _Family()
    cluster.start()
    family.found()
    try:
        _guard(cluster, asked)
    finally:
        family.wait(drain_seconds() + orphans.POLL_SECONDS + 1)
    if cluster.sentinel.exitcode != 0:
        raise ClusterFailed(_why(cluster.sentinel.exitcode, asked()))


def _guard(cluster: Cluster, asked: Callable[[], int]) -> None:
    told_at: float | None = None
    patience = _stop_seconds()
    while cluster.sentinel.is_alive():
        cluster.sentinel.join(POLL_SECONDS)
        if asked() and told_at is None:
            told_at = time.monotonic()
            # In a thread: it waits for the sentinel, which may be dead by now.
            threading.Thread(target=cluster.stop_event.set, daemon=True).start()
        slow = told_at is not None and patience is not None and time.monotonic() - told_at > patience
        if slow or asked() > 1:
            cluster.sentinel.kill()


def _stop_seconds() -> float | None:
    """A running task may take its time-out, and then the worker drains. Without one there is no bound."""
    return Conf.TIMEOUT + drain_seconds() if Conf.TIMEOUT else None


def _why(exitcode: int | None, asked: int) -> str:
    if asked > 1:
        return "The task queue was ended at the second signal; tasks under way start again later."
    if asked:
        return "The task queue did not stop in time and was ended; tasks under way start again later."
    return f"The task queue ended by itself with exit code {exitcode}; its relays have drained. Start it again."


class _Family:
    """All descendants: they inherit the end of a pipe, which is closed when the last of them is gone."""

    def __init__(self) -> None:
        self._ours, self._theirs = os.pipe()

    def found(self) -> None:
        """To be called when the first of them exists."""
        os.close(self._theirs)

    def wait(self, seconds: float) -> None:
        select.select([self._ours], [], [], seconds)
        os.close(self._ours)
