"""Jobs that have been over for long are deleted; what they did stays recorded."""

from __future__ import annotations

from datetime import timedelta

from outbox import conf
from outbox.models import OutboxJob
from outbox.models.functions import ClockTimestamp

MOST_PRUNED = 1_000


def prune_jobs(*, using: str | None = None) -> int:
    """Delete jobs that ended more than `OUTBOX_JOB_RETENTION_DAYS` ago, at most `MOST_PRUNED`. Returns how many."""
    days = conf.get().job_retention_days
    if days is None:
        return 0
    jobs = OutboxJob.objects.using(using or conf.get().database)
    old = jobs.over().filter(finished_at__lt=ClockTimestamp() - timedelta(days=days)).order_by("finished_at")
    deleted, _ = jobs.filter(pk__in=list(old.values_list("pk", flat=True)[:MOST_PRUNED])).delete()
    return deleted
