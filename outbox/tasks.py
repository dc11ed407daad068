"""What django-q2 runs for the outbox."""

from __future__ import annotations

from django_q.conf import Conf
from django_q.tasks import async_task

from outbox.operations.prune import AlreadyPruning
from outbox.operations.prune import prune as prune_now

PRUNE = "outbox.tasks.prune"
SLICE_SECONDS = 20.0


def prune() -> str:
    """Delete what is over, for some seconds; what is left then is another task's, behind those that wait by now."""
    try:
        done = prune_now(seconds=min(SLICE_SECONDS, Conf.TIMEOUT / 3) if Conf.TIMEOUT else SLICE_SECONDS)
    except AlreadyPruning:
        return "Another process prunes."
    if not done.finished:
        async_task(PRUNE, task_name="outbox prune", save=False)
    return f"{done.total} events deleted."
