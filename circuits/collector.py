"""What the database says about circuits, as Prometheus reads it; counters of each process are not here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import DatabaseError, connections, transaction
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from circuits import conf, sql

logger = logging.getLogger(__name__)

OTHERS = "_other"
"""The tenants that have no label of their own, together. No tenant can be named so."""

LABELLED = 200
CACHE_SECONDS = 10.0
STATEMENT_TIMEOUT = timedelta(seconds=2)

_VALUES = {"closed": 0.0, "half_open": 0.5, "open": 1.0, "forced_open": 1.0, "forced_closed": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Circuits that are not simply closed. Those of `OTHERS` are counted together."""

    tenant_id: str
    name: str
    state: str
    circuits: int


class CircuitCollector(Collector):
    """Reads the database at most every `cache_seconds`, however many scrape. Safe for threads.

    A database that does not answer within two seconds leaves the last snapshot, and `circuits_scrape_success` 0.
    """

    def __init__(self, *, cache_seconds: float = CACHE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache_seconds = cache_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._succeeded = False
        self._snapshot: tuple[Trouble, ...] | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry that asks must not make us read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics as of the last look."""
        with self._lock:
            if self._clock() - self._looked_at >= self._cache_seconds:
                self._look()
            snapshot, succeeded = self._snapshot, self._succeeded
        if snapshot is not None:
            yield _states(snapshot)
            yield _counts(snapshot)
        yield GaugeMetricFamily(
            "circuits_scrape_success", "Whether the last look at the circuits succeeded.", int(succeeded)
        )

    def _look(self) -> None:
        try:
            self._snapshot = read_trouble()
            self._succeeded = True
        except DatabaseError:
            logger.exception("The circuits could not be read; the last figures stand.")
            self._succeeded = False
        self._looked_at = self._clock()


def read_trouble() -> tuple[Trouble, ...]:
    """Look at the database now. Costs as much as there is trouble, however many circuits there are."""
    database = conf.get().database
    with transaction.atomic(using=database), connections[database].cursor() as cursor:
        milliseconds = STATEMENT_TIMEOUT // timedelta(milliseconds=1)
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
        cursor.execute(sql.load("trouble"), {"labelled": LABELLED, "others": OTHERS})
        return tuple(
            Trouble(tenant_id=tenant_id, name=name, state=state, circuits=circuits)
            for tenant_id, name, state, circuits in cursor.fetchall()
        )


def _states(found: Iterable[Trouble]) -> Metric:
    metric = GaugeMetricFamily(
        "circuits_state",
        "Circuits that are not simply closed: 0 forced closed, 0.5 half-open, 1 open or forced open.",
        labels=["tenant_id", "name"],
    )
    for each in found:
        if each.tenant_id != OTHERS:
            metric.add_metric([each.tenant_id, each.name], _VALUES[each.state])
    return metric


def _counts(found: Iterable[Trouble]) -> Metric:
    metric = GaugeMetricFamily(
        "circuits_not_closed", "How many circuits are in a state other than closed.", labels=["name", "state"]
    )
    counts: dict[tuple[str, str], int] = {}
    for each in found:
        place = (each.name, each.state)
        counts[place] = counts.get(place, 0) + each.circuits
    for (name, state), number in sorted(counts.items()):
        metric.add_metric([name, state], number)
    return metric
