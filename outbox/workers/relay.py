"""The relay of a qcluster worker: a thread that starts when the worker is ready, and drains when it ends."""

from __future__ import annotations

import logging
import os
import signal
from multiprocessing import util
from typing import Any

from django.db import connections
from django_q.signals import post_spawn

from outbox import conf
from outbox.errors import OutboxError
from outbox.relay.supervisor import RelayThread, Supervisor, drain_seconds
from outbox.workers import jobs, orphans, schedules, task_queue
from outbox.workers.slots import HostSlots

logger = logging.getLogger("outbox.workers")

SLOT_POLL_SECONDS = 0.25

_started_in: int | None = None


class WorkerRelay(RelayThread):
    """A relay as soon as the host has a slot for it."""

    def __init__(self, slots: HostSlots | None) -> None:
        super().__init__(Supervisor())
        self._slots = slots

    def run(self) -> None:
        try:
            while self._slots is not None and not self._slots.take():
                if self.supervisor.stopped.wait(SLOT_POLL_SECONDS):
                    return
        except (OutboxError, OSError) as error:
            logger.critical("This worker runs no relay: %s", error)
            return
        super().run()

    def drain(self) -> None:
        """Ends the relay within `drain_seconds`, come what may."""
        if not self.stop_and_join():
            logger.error(
                "The relay did not drain within %.0f s; what it had under way will be delivered again.",
                drain_seconds(),
            )


def run_in_workers() -> None:
    """Let every worker that this process's cluster spawns run a relay.

    Not connected at import: a task run with `sync=True` says `post_spawn` too, in whatever process that is.
    """
    post_spawn.connect(_on_spawn, dispatch_uid="outbox.workers")


def _on_spawn(**_: Any) -> None:
    global _started_in
    if _started_in == os.getpid():
        return
    _started_in = os.getpid()
    relay = WorkerRelay(_slots())
    orphans.before_end(relay.drain)
    # Worker code never sees the stop; what multiprocessing runs at the end of a process does.
    util.Finalize(None, _end, args=[relay], exitpriority=100)
    relay.start()
    task_queue.start_watch()
    jobs.start_watch()
    schedules.keep()


def _end(relay: WorkerRelay) -> None:
    # After a task's time-out the cluster sends SIGTERM to a worker that is already on its way out.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    relay.drain()


def _slots() -> HostSlots | None:
    settings = conf.get()
    if settings.relays_per_host is None:
        return None
    database = connections[settings.database].settings_dict
    purpose = " ".join(str(database[name]) for name in ("HOST", "PORT", "NAME"))
    return HostSlots(limit=settings.relays_per_host, purpose=f"relays of {purpose}")
