"""What django-q2 runs for the outbox."""

from __future__ import annotations

from django_q.conf import Conf
from django_q.tasks import async_task

from circuits.operations import history
from outbox.operations.jobs.prune import prune_jobs
from outbox.operations.jobs.work import run_slice
from outbox.operations.prune import AlreadyPruning
from outbox.operations.prune import prune as prune_now

PRUNE = "outbox.tasks.prune"
SLICE_SECONDS = 20.0


def prune() -> str:
    """Delete what is over, for some seconds; what is left then is another task's, behind those that wait by now."""
    prune_jobs()
    history.prune(seconds=_slice_seconds() / 4)
    try:
        done = prune_now(seconds=_slice_seconds())
    except AlreadyPruning:
        return "Another process prunes."
    if not done.finished:
        async_task(PRUNE, task_name="outbox prune", save=False)
    return f"{done.total} events deleted."


def run_job(job_id: int, using: str | None = None) -> str:
    """Work on a job of operators for some seconds; what is left is another task's, behind those that wait by now."""
    outcome = run_slice(job_id, seconds=_slice_seconds(), using=using)
    return f"Job {job_id}: {outcome.value}"


def _slice_seconds() -> float:
    return min(SLICE_SECONDS, Conf.TIMEOUT / 3) if Conf.TIMEOUT else SLICE_SECONDS
