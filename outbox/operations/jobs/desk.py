"""What people do with jobs: start, pause, resume, cancel. Each is recorded."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction

from outbox import conf
from outbox.models import JobState, JobVerb, OutboxJob
from outbox.models.job import OVER
from outbox.models.names import EVERY_TENANT
from outbox.operations import audit
from outbox.operations.audit import Operator
from outbox.operations.bulk import settled
from outbox.operations.filters import Filter
from outbox.operations.jobs.queue import offer
from outbox.operations.jobs.states import Action, after
from outbox.operations.jobs.verbs import InvalidJob, plan
from outbox.operations.listing import database_now

SLOWEST, FASTEST = 0.1, 1e6
_RECORDED = {Action.PAUSE: "job_paused", Action.RESUME: "job_resumed", Action.CANCEL: "job_cancelled"}


class NoSuchJob(InvalidJob):
    """There is no such job."""


def start(
    *,
    verb: JobVerb,
    given: Filter,
    by: Operator,
    reason: str,
    tenants: Collection[str] | None = None,
    duplicate_sent: bool = False,
    rate: float | None = None,
    expected: int | None = None,
    expected_more: bool = False,
    using: str | None = None,
) -> int:
    """Have events changed in the background; returns the job's number.

    `tenants`: those that whoever asks may see; None: all. It never touches others.
    `rate`: most events per second; None: `OUTBOX_JOB_RATE`.
    `expected`: events that a preview counted, and whether there were more, for the progress.
    Events that are enqueued from now on are not touched. Raises `InvalidFilter`, `InvalidJob` and `NoReason`.
    """
    alias, reason = using or conf.get().database, audit.checked_reason(reason)
    if rate is not None and not SLOWEST <= rate <= FASTEST:
        raise InvalidJob(f"rate={rate:g}: a job changes {SLOWEST} to {FASTEST:,.0f} events per second")
    change, asked = plan(verb, given, duplicate_sent=duplicate_sent)
    # Of events that are named, the statuses say which may be changed; of others, which are looked at.
    kept = given if given.is_named else settled(change, asked, using=alias)
    with transaction.atomic(using=alias):
        job = OutboxJob.objects.using(alias).create(
            verb=verb,
            filter=kept.narrowed(tenants=None).as_json(),
            duplicate_sent=duplicate_sent,
            tenants=_tenants(given, tenants),
            reason=reason,
            requested_by=by.name[:255],
            source=by.source,
            address=by.address,
            rate=rate,
            preview=expected,
            preview_more=expected_more,
        )
        record(job, "job_started", by=by, reason=reason, after={"state": JobState.QUEUED.value})
        transaction.on_commit(lambda: offer(job.pk, using=alias), using=alias, robust=True)
    return job.pk


def move(
    job_id: int,
    action: Action,
    *,
    by: Operator,
    reason: str,
    tenants: Collection[str] | None = None,
    using: str | None = None,
) -> None:
    """Pause, resume or cancel: from the batch on that follows the one under way. What is done stays done.

    Raises `NoSuchJob`, also for a job beyond `tenants`; `ImpossibleTransition`, and `NoReason`.
    """
    alias, reason = using or conf.get().database, audit.checked_reason(reason)
    with transaction.atomic(using=alias):
        # Waits for a batch that is under way, which has the row locked.
        job = find(job_id, tenants=tenants, using=alias, lock=True)
        before, target = JobState(job.state), after(JobState(job.state), action)
        job.state, job.waits_for, job.lease_until = target, "", None
        # Whoever works on it finds another token, and stops.
        job.token += 1
        job.failures = 0
        job.finished_at = database_now(using=alias) if target in OVER else None
        job.save(update_fields=["state", "waits_for", "lease_until", "token", "failures", "finished_at"])
        states = {"before": {"state": before.value}, "after": {"state": target.value}}
        record(job, _RECORDED[action], by=by, reason=reason, **states)
        if action is Action.RESUME:
            transaction.on_commit(lambda: offer(job_id, using=alias), using=alias, robust=True)


def find(
    job_id: int, *, tenants: Collection[str] | None = None, using: str | None = None, lock: bool = False
) -> OutboxJob:
    """The job, if it concerns none but these tenants. Raises `NoSuchJob`."""
    jobs = OutboxJob.objects.using(using or conf.get().database)
    if lock:
        jobs = jobs.select_for_update()
    job = jobs.within(None if tenants is None else frozenset(tenants)).filter(pk=job_id).first()
    if job is None:
        raise NoSuchJob(f"there is no job {job_id}")
    return job


def record(
    job: OutboxJob, verb: str, *, by: Operator, reason: str, after: dict[str, Any], before: dict[str, Any] | None = None
) -> None:
    """Write down what happens to the job, in the transaction in which it does."""
    tenants = {} if job.tenants is None else {"tenants": job.tenants}
    audit.record(
        by=by,
        verb=verb,
        using=job._state.db or conf.get().database,
        reason=reason,
        tenants=[EVERY_TENANT] if job.tenants is None else job.tenants,
        filter={"job": job.pk, "verb": job.verb, **job.filter, **tenants},
        counts={"done": job.done, "looked_at": job.looked_at},
        before=before,
        after=after,
    )


def _tenants(given: Filter, tenants: Collection[str] | None) -> list[str] | None:
    """Those it can touch at all, so that staff see the jobs that concern theirs."""
    if given.tenant_id is None:
        return None if tenants is None else sorted(tenants)
    if tenants is not None and given.tenant_id not in tenants:
        raise InvalidJob(f"tenant={given.tenant_id!r}: there is no such tenant")
    return [given.tenant_id]
