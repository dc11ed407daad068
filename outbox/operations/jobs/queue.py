"""Tasks that lead to jobs. A job outlives its task: whoever could run it looks for those that none leads to."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.apps import apps
from django.db import DatabaseError
from django.db.models import Q

from outbox import conf
from outbox.models import OutboxJob
from outbox.models.functions import ClockTimestamp

logger = logging.getLogger(__name__)

RUN_JOB = "outbox.tasks.run_job"
LOST_AFTER = timedelta(seconds=30)
"""Then a task that was queued is taken for lost. One too many finds nothing to do."""
MOST_OFFERED = 100


def offer(job_id: int, *, using: str) -> None:
    """Have django-q2 run the job soon. A queue that does not take it is not the caller's trouble."""
    if not apps.is_installed("django_q"):
        return
    from django_q.tasks import async_task

    OutboxJob.objects.using(using).filter(pk=job_id).update(offered_at=ClockTimestamp())
    try:
        async_task(RUN_JOB, job_id, using, task_name=f"outbox job {job_id}", save=False)
    except (DatabaseError, OSError):
        logger.exception("Job %d could not be queued; it is tried again.", job_id)


def offer_lost(*, using: str | None = None) -> int:
    """Queue tasks for jobs that nobody works on and that were offered a while ago. Returns how many there were.

    For every worker to call every few seconds: of several that find a job, one queues it.
    """
    alias = using or conf.get().database
    stale = Q(offered_at__lt=ClockTimestamp() - LOST_AFTER)
    lost = OutboxJob.objects.using(alias).free().filter(stale)
    offered = 0
    for job_id in lost.order_by("offered_at").values_list("pk", flat=True)[:MOST_OFFERED]:
        if OutboxJob.objects.using(alias).filter(stale, pk=job_id).update(offered_at=ClockTimestamp()):
            offer(job_id, using=alias)
            offered += 1
    return offered
