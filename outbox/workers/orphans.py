"""The processes of a cluster: where signals reach them, and what becomes of them when their parent is gone.

A signal to the whole process group, as terminals and supervisors send it, must reach the main process alone: django-q2
hangs when sentinel, pusher and workers die of it. And whoever is left alone by kill -9 must not stay for ever.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import util
from typing import Any

logger = logging.getLogger("outbox.workers")

POLL_SECONDS = 0.5

# main is 0, the sentinel 1, its workers, pusher and monitor 2. What tasks fork is their own affair.
_generation = 0
_last_duties: list[Callable[[], object]] = []


def look_after(cluster: Any, *, stop_seconds: float | None) -> None:
    """From now on children of this process have groups of their own, and end when their parent is gone.

    The sentinel stops the cluster in order, for which it has `stop_seconds` (None: as long as it takes), unless main
    was killed while it did. The others do what they asked for with `before_end`, and end.
    """
    os.register_at_fork(after_in_child=_step_aside)
    util.register_after_fork(cluster, partial(_watch_parent, stop_seconds=stop_seconds))


def before_end(duty: Callable[[], object]) -> None:
    """Call this in an orphan before it ends."""
    _last_duties.append(duty)


def end_cluster() -> None:
    """From a worker: kill the sentinel. All its children do what they have to and end, and main fails after them.

    Nothing less cures a task queue whose lock died with its holder, since workers that are spawned anew share it.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid == os.getppid():
        os.kill(os.getppid(), signal.SIGKILL)


def _step_aside() -> None:
    global _generation
    _generation += 1
    if _generation <= 2:
        os.setpgid(0, 0)


def _watch_parent(cluster: Any, *, stop_seconds: float | None) -> None:
    parent = multiprocessing.parent_process()
    if parent is None or _generation > 2:
        return
    end = partial(_end_sentinel, cluster, stop_seconds) if _generation == 1 else _end_child
    threading.Thread(target=_watch, args=[parent.pid, end], name="outbox-orphan-watch", daemon=True).start()


def _watch(parent: int, end: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    end()


def _end_sentinel(cluster: Any, stop_seconds: float | None) -> None:
    logger.error("The main process of the cluster is gone: stopping.")
    # In a thread, since main may have died with the event's lock.
    threading.Thread(target=_ask_to_stop, args=[cluster], daemon=True).start()
    time.sleep(threading.TIMEOUT_MAX if stop_seconds is None else stop_seconds)
    os._exit(1)


def _ask_to_stop(cluster: Any) -> None:
    if cluster.stop_event.is_set():
        os._exit(1)
    cluster.stop_event.set()


def _end_child() -> None:
    try:
        for duty in _last_duties:
            duty()
    finally:
        os._exit(1)
