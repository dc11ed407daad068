"""Metrics that are read from the database when Prometheus asks."""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import ClassVar, Generic, TypeVar

from django.db import DatabaseError, connections
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from circuits.timeouts import lower_statement_timeout

logger = logging.getLogger(__name__)

CACHE_SECONDS = 10.0
STATEMENT_TIMEOUT = timedelta(seconds=2)

Snapshot = TypeVar("Snapshot")


class SnapshotCollector(Collector, Generic[Snapshot]):
    """Reads the database at most every `cache_seconds`, however many scrape. Safe for threads.

    A database that does not answer within two seconds leaves the last snapshot, and `<app>_scrape_success` 0.
    """

    app: ClassVar[str]
    errors: ClassVar[tuple[type[Exception], ...]] = (DatabaseError,)

    def __init__(self, *, cache_seconds: float = CACHE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache_seconds = cache_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._seconds = 0.0
        self._succeeded = False
        self._snapshot: Snapshot | None = None

    @abstractmethod
    def read(self) -> Snapshot:
        """Look at the database now."""

    @abstractmethod
    def metrics(self, snapshot: Snapshot) -> Iterator[Metric]:
        """What was seen."""

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
            yield from self.metrics(snapshot)
        name = f"{self.app}_scrape"
        yield GaugeMetricFamily(f"{name}_success", "Whether the last look at the database succeeded.", int(succeeded))
        yield GaugeMetricFamily(f"{name}_duration_seconds", "How long the last look took.", seconds)

    def _look(self) -> None:
        began = self._clock()
        try:
            self._snapshot = self.read()
            self._succeeded = True
        except self.errors:
            logger.exception("The metrics of %s could not be read; the last figures stand.", self.app)
            self._succeeded = False
        self._looked_at = self._clock()
        self._seconds = self._looked_at - began


def limit_statements(database: str) -> None:
    """Inside a transaction: none of its statements takes longer than a scrape can wait."""
    lower_statement_timeout(connections[database], milliseconds=STATEMENT_TIMEOUT // timedelta(milliseconds=1))
