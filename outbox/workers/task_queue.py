"""Says so when the task queue is stuck, and ends the cluster if it may.

Killing an idle worker may leave the lock on the queue that it was reading, for all workers to come.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connections
from django_q.conf import Conf
from django_q.signals import post_execute_in_worker, pre_execute

from outbox import conf
from outbox.operations.task_queue import longest_wait
from outbox.workers import orphans

logger = logging.getLogger("outbox.workers")

LOOK_SECONDS = 10.0
# After an error of the database the queue rests for ten seconds by itself.
STUCK_AFTER = timedelta(seconds=30)
SAY_AGAIN_SECONDS = 300.0


class Watch:
    """Looks from inside a worker: if tasks wait although this one has had nothing to do, they do not get here."""

    def __init__(
        self,
        *,
        restart_seconds: float | None = None,
        end_cluster: Callable[[], None] = orphans.end_cluster,
        longest_wait: Callable[[], timedelta | None] = longest_wait,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`restart_seconds`: for how long the queue may be stuck before the cluster is ended; None: for ever."""
        self._restart_seconds = restart_seconds
        self._end_cluster = end_cluster
        self._longest_wait = longest_wait
        self._clock = clock
        self._running = 0
        self._idle_since = clock()
        self._said_at: float | None = None
        self._stuck_since: float | None = None

    def began(self, **_: Any) -> None:
        """The worker has a task; one may run others within itself."""
        self._running += 1

    def ended(self, **_: Any) -> None:
        """The worker is done with a task."""
        self._running -= 1
        self._idle_since = self._clock()

    def look(self) -> bool:
        """Whether the queue is stuck; logs an error then, and again every five minutes, or ends the cluster."""
        now = self._clock()
        wait = None if self._is_busy(now) else self._longest_wait()
        if wait is None or wait < STUCK_AFTER:
            self._stuck_since = None
            return False
        if self._stuck_since is None:
            self._stuck_since = now
        self._say(wait, now)
        if self._restart_seconds is not None and now - self._stuck_since >= self._restart_seconds:
            logger.critical("The task queue stays stuck: ending this qcluster. Relays drain.")
            self._end_cluster()
        return True

    def _is_busy(self, now: float) -> bool:
        return self._running > 0 or now - self._idle_since < STUCK_AFTER.total_seconds()

    def _say(self, wait: timedelta, now: float) -> None:
        if self._said_at is None or now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = now
            logger.error(
                "The task queue is stuck: a task waits for %.0f s beside an idle worker. "
                "Publishing goes on; restart qcluster to have tasks run again.",
                wait.total_seconds(),
            )


def start_watch() -> None:
    """Watch this worker's queue from a thread, if the queue is one in the database."""
    if not Conf.ORM:
        return
    watch = Watch(restart_seconds=conf.get().task_queue_restart_seconds)
    pre_execute.connect(watch.began, weak=False)
    post_execute_in_worker.connect(watch.ended, weak=False)
    threading.Thread(target=_look_forever, args=[watch], name="outbox-task-queue-watch", daemon=True).start()


def _look_forever(watch: Watch) -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        look_once(watch)


def look_once(watch: Watch) -> None:
    """A look that leaves no session behind, and that a database which does not answer does not stop."""
    try:
        watch.look()
    except DatabaseError:
        logger.debug("The task queue could not be looked at.", exc_info=True)
    finally:
        connections.close_all()
