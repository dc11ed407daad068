"""What tests have qcluster run."""

from __future__ import annotations

import os

from django_q.tasks import async_task

from outbox.workers import orphans


def run_one_in_place() -> int:
    """A task that runs another one within itself. Returns the process it ran in."""
    async_task("time.time", sync=True, save=False)
    return os.getpid()


def end_cluster() -> None:
    """As the watch over the task queue does."""
    orphans.end_cluster()
