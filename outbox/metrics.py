"""What the database says about backlogs, as Prometheus reads it; counters of each process are not here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.apps import apps
from django.db import DatabaseError, transaction
from django.db.models import Count
from django.db.models.functions import Now
from prometheus_client.core import GaugeMetricFamily, Metric

from circuits.names import OTHER_TENANTS
from circuits.scraping import SnapshotCollector, limit_statements
from outbox import conf
from outbox.models import JobState, OutboxJob, OutboxRelay
from outbox.operations.backlog import Backlog, CountFailed, TenantFigures, snapshot
from outbox.operations.freshness import COUNT_AFTER
from outbox.operations.pause import Pause, pauses

logger = logging.getLogger(__name__)

LABELLED_TENANTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One look at the database."""

    backlog: Backlog
    relays: int
    task_queue_wait: float | None
    """Seconds; None where django-q2's queue is not in the database, or does not answer."""
    pauses: tuple[Pause, ...] = ()
    jobs: Mapping[str, int] = field(default_factory=dict)
    """By state."""
    jobs_stuck: int = 0


class OutboxCollector(SnapshotCollector[Snapshot]):
    """What waits, and who works on it."""

    app = "outbox"
    errors = (DatabaseError, CountFailed)

    def read(self) -> Snapshot:
        return read_snapshot()

    def metrics(self, snapshot: Snapshot) -> Iterator[Metric]:
        return _metrics(snapshot)


def read_snapshot() -> Snapshot:
    """Look at the database now: at the last count of what waits, if it is not too old."""
    settings = conf.get()
    task_queue_wait = _task_queue_wait()
    with transaction.atomic(using=settings.database):
        limit_statements(settings.database)
        alive_since = Now() - timedelta(seconds=settings.lease_seconds)
        return Snapshot(
            backlog=snapshot(refresh_if_older_than=COUNT_AFTER, using=settings.database),
            relays=OutboxRelay.objects.using(settings.database).filter(heartbeat_at__gt=alive_since).count(),
            task_queue_wait=task_queue_wait,
            pauses=pauses(using=settings.database),
            jobs=dict(_jobs_by_state(settings.database)),
            jobs_stuck=OutboxJob.objects.using(settings.database).stuck().count(),
        )


def _jobs_by_state(alias: str) -> Iterable[tuple[str, int]]:
    """Few rows: those that are over are deleted after a while."""
    return OutboxJob.objects.using(alias).values_list("state").annotate(jobs=Count("pk")).order_by("state")


def _task_queue_wait() -> float | None:
    if not apps.is_installed("django_q"):
        return None
    from django_q.conf import Conf

    # Its models exist only where the app is installed.
    from outbox.operations.task_queue import longest_wait

    if not Conf.ORM:
        return None
    try:
        wait = longest_wait()
    except DatabaseError:
        # What waits to be published must be seen all the same.
        logger.debug("The task queue could not be looked at.", exc_info=True)
        return None
    return 0.0 if wait is None else wait.total_seconds()


def _metrics(found: Snapshot) -> Iterator[Metric]:
    backlog, totals = found.backlog, found.backlog.totals
    if backlog.taken_at is not None and backlog.age is not None:
        yield from _counted(backlog.tenants, backlog.taken_at)
        yield GaugeMetricFamily("outbox_tenants_pending", "Tenants with events that are due.", totals.tenants)
        yield GaugeMetricFamily(
            "outbox_backlog_age_seconds", "How long ago what waits was counted.", backlog.age.total_seconds()
        )
    yield GaugeMetricFamily("outbox_relays", "Relays with a recent heartbeat.", found.relays)
    everyone = any(each.of_everyone for each in found.pauses)
    yield GaugeMetricFamily("outbox_paused", "1 while everyone is paused.", int(everyone))
    yield GaugeMetricFamily("outbox_tenants_paused", "Tenants paused by name.", len(found.pauses) - everyone)
    jobs = GaugeMetricFamily("outbox_jobs", "Replays, discards and requeues in the background.", labels=["state"])
    for state in JobState:
        jobs.add_metric([state.value], found.jobs.get(state.value, 0))
    yield jobs
    yield GaugeMetricFamily("outbox_jobs_stuck", "Jobs that no worker looks for.", found.jobs_stuck)
    if found.task_queue_wait is not None:
        yield GaugeMetricFamily(
            "outbox_task_queue_wait_seconds",
            "How long the oldest task that is due has waited in django-q2's queue; 0: none waits.",
            found.task_queue_wait,
        )


def _counted(tenants: Sequence[TenantFigures], taken_at: datetime) -> Iterator[Metric]:
    """Tenants come with those first that have waited longest."""
    waiting = [each for each in tenants if each.pending]
    yield _events("outbox_pending", "Events due and not acknowledged.", waiting, lambda each: each.pending)
    blocked = _most(tenants, lambda each: each.blocked)
    help_blocked = "Events due that wait behind an open circuit; they are pending as well."
    yield _events("outbox_blocked_events", help_blocked, blocked, lambda each: each.blocked)
    ages = GaugeMetricFamily(
        "outbox_oldest_pending_age_seconds",
        "How long the oldest due event had waited when it was counted.",
        labels=["tenant_id"],
    )
    for name, each in zip(_names(waiting), waiting[: LABELLED_TENANTS + 1], strict=True):
        oldest = each.oldest_pending_at or taken_at
        ages.add_metric([name], max(0.0, (taken_at - oldest).total_seconds()))
    yield ages
    scheduled = _most(tenants, lambda each: each.scheduled)
    yield _events("outbox_scheduled", "Events that wait for their time.", scheduled, lambda each: each.scheduled)
    failed = _most(tenants, lambda each: each.failed)
    yield _events("outbox_events_failed", "Dead letters.", failed, lambda each: each.failed)


def _most(tenants: Iterable[TenantFigures], number: Callable[[TenantFigures], int]) -> list[TenantFigures]:
    return sorted((each for each in tenants if number(each)), key=number, reverse=True)


def _names(tenants: Sequence[TenantFigures]) -> list[str]:
    """The labels: the first tenants' own ones, and one for all others."""
    names = [each.tenant_id for each in tenants[:LABELLED_TENANTS]]
    return [*names, OTHER_TENANTS] if len(tenants) > LABELLED_TENANTS else names


def _events(
    name: str, help: str, tenants: Sequence[TenantFigures], number: Callable[[TenantFigures], int]
) -> GaugeMetricFamily:
    metric = GaugeMetricFamily(name, help, labels=["tenant_id"])
    for each in tenants[:LABELLED_TENANTS]:
        metric.add_metric([each.tenant_id], number(each))
    others = tenants[LABELLED_TENANTS:]
    if others:
        metric.add_metric([OTHER_TENANTS], sum(map(number, others)))
    return metric
