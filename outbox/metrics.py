"""What the database says about backlogs, as Prometheus reads it; counters of each process are not here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import DatabaseError, connections, transaction
from django.db.models.functions import Now
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from outbox import conf, sql
from outbox.models import EventStatus, OutboxRelay

logger = logging.getLogger(__name__)

OTHERS = "_other"
"""The tenants that have no label of their own, together. No tenant can be named so."""

LABELLED_TENANTS = 200
COUNT_CAP = 10_000
COUNT_CAP_OF_OTHERS = 100

CACHE_SECONDS = 10.0
STATEMENT_TIMEOUT = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Events of one status. `events` is capped for each tenant; `age` is that of the oldest, in seconds."""

    tenant_id: str
    tenants: int
    events: int
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One look at the database."""

    pending: tuple[Backlog, ...]
    failed: tuple[Backlog, ...]
    relays: int


class OutboxCollector(Collector):
    """Reads the database at most every `cache_seconds`, however many scrape. Safe for threads.

    A database that does not answer within two seconds leaves the last snapshot, and `outbox_scrape_success` 0.
    """

    def __init__(self, *, cache_seconds: float = CACHE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache_seconds = cache_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._seconds = 0.0
        self._succeeded = False
        self._snapshot: Snapshot | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry that asks must not make us read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics as of the last look."""
        with self._lock:
            if self._clock() - self._looked_at >= self._cache_seconds:
                self._look()
            snapshot, succeeded, seconds = self._snapshot, self._succeeded, self._seconds
        if snapshot is not None:
            yield from _metrics(snapshot)
        yield GaugeMetricFamily(
            "outbox_scrape_success", "Whether the last look at the database succeeded.", int(succeeded)
        )
        yield GaugeMetricFamily("outbox_scrape_duration_seconds", "How long the last look took.", seconds)

    def _look(self) -> None:
        began = self._clock()
        try:
            self._snapshot = read_snapshot()
            self._succeeded = True
        except DatabaseError:
            logger.exception("The backlog could not be read; the last figures stand.")
            self._succeeded = False
        self._looked_at = self._clock()
        self._seconds = self._looked_at - began


def read_snapshot() -> Snapshot:
    """Look at the database now. Costs an index descent for each tenant with work, and never scans the table."""
    settings = conf.get()
    with transaction.atomic(using=settings.database):
        _limit(settings.database)
        alive_since = Now() - timedelta(seconds=settings.lease_seconds)
        return Snapshot(
            pending=_backlogs(settings.database, EventStatus.PENDING),
            failed=_backlogs(settings.database, EventStatus.FAILED),
            relays=OutboxRelay.objects.using(settings.database).filter(heartbeat_at__gt=alive_since).count(),
        )


def _limit(database: str) -> None:
    with connections[database].cursor() as cursor:
        milliseconds = STATEMENT_TIMEOUT // timedelta(milliseconds=1)
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
        # Statistics may be from a time when scanning the table was cheap.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")


def _backlogs(database: str, status: EventStatus) -> tuple[Backlog, ...]:
    caps = {"top": LABELLED_TENANTS, "cap": COUNT_CAP, "cap_of_others": COUNT_CAP_OF_OTHERS}
    with connections[database].cursor() as cursor:
        cursor.execute(sql.load("backlog"), {"status": status.value, **caps})
        return tuple(
            Backlog(tenant_id=tenant_id, tenants=tenants, events=events, age=age)
            for tenant_id, tenants, events, age in cursor.fetchall()
        )


def _metrics(snapshot: Snapshot) -> Iterator[Metric]:
    capped = f"at most {COUNT_CAP} are counted for a tenant, {COUNT_CAP_OF_OTHERS} for each of {OTHERS}"
    yield _per_tenant(
        "outbox_pending", f"Events due and not acknowledged; {capped}.", snapshot.pending, lambda each: each.events
    )
    yield _per_tenant(
        "outbox_oldest_pending_age_seconds",
        "How long the oldest due event has waited.",
        snapshot.pending,
        lambda each: each.age,
    )
    yield _per_tenant("outbox_events_failed", f"Dead letters; {capped}.", snapshot.failed, lambda each: each.events)
    tenants = sum(each.tenants for each in snapshot.pending)
    yield GaugeMetricFamily("outbox_tenants_pending", "Tenants with events that are due.", tenants)
    yield GaugeMetricFamily("outbox_relays", "Relays with a recent heartbeat.", snapshot.relays)


def _per_tenant(
    name: str, help: str, backlogs: Iterable[Backlog], value: Callable[[Backlog], float]
) -> GaugeMetricFamily:
    metric = GaugeMetricFamily(name, help, labels=["tenant_id"])
    for each in backlogs:
        metric.add_metric([each.tenant_id], value(each))
    return metric
