"""What happened minute by minute, for charts: `series`, `sparklines`.

All of it is read from `outbox_minutes`, by primary key, never from the events. What relays and the last count have not
written down yet is missing: some seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

from django.db import connections

from outbox import conf, sql
from outbox.latency import quantile
from outbox.models.names import EVERY_TENANT
from outbox.operations.quick import quick


class Span(StrEnum):
    """How far charts go back."""

    QUARTER = "15m"
    HOUR = "1h"
    DAY = "24h"

    @property
    def step(self) -> timedelta:
        """From one point to the next."""
        return timedelta(minutes=self.minutes)

    @property
    def minutes(self) -> int:
        """The step; there are rows for each minute and for each quarter of an hour."""
        return 15 if self is Span.DAY else 1

    @property
    def points(self) -> int:
        """How many there are; the last one is still going on."""
        return {Span.QUARTER: 15, Span.HOUR: 60, Span.DAY: 96}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What happened in one step of a chart."""

    minute: datetime
    """When the step began."""
    sent: int
    failed: int
    """Events that became dead letters."""
    discarded: int
    """Events given up by operators while they waited; dead letters have been counted as failed."""
    replayed: int
    enqueued: int | None
    """Derived: sent + failed + discarded - replayed + what more waits than a step before; None: that is not known."""
    waiting: int | None
    """Pending and scheduled events at the step's last count; None: nobody counted."""
    p50: float | None
    """Seconds from creation to acknowledgement that half of what was sent did not exceed; None if nothing was sent."""
    p95: float | None
    p99: float | None


def series(*, span: Span, tenants: Collection[str] | None = None, using: str | None = None) -> tuple[Point, ...]:
    """The span's points, the oldest first, one for each step whether something happened or not. One query.

    `tenants`: of these together; None: of all.
    """
    alias = using or conf.get().database
    with quick(alias):
        return read_points(span=span, tenants=tenants, alias=alias)


def sparklines(*, tenants: Collection[str], span: Span, using: str | None = None) -> dict[str, tuple[int, ...]]:
    """Events sent in each step of the span, the oldest first, of each of the tenants. One query."""
    alias = using or conf.get().database
    with quick(alias):
        return read_sparks(tenants=tenants, span=span, alias=alias)


def read_points(*, span: Span, tenants: Collection[str] | None, alias: str) -> tuple[Point, ...]:
    """`series` inside a transaction of `quick`."""
    params = {
        "tenants": [EVERY_TENANT] if tenants is None else sorted(set(tenants)),
        "minutes": span.minutes,
        "points": span.points,
    }
    rows = _query("series", params, alias)
    return tuple(_point(row, before[5]) for before, row in pairwise(rows))


def read_sparks(*, tenants: Collection[str], span: Span, alias: str) -> dict[str, tuple[int, ...]]:
    """`sparklines` inside a transaction of `quick`."""
    lines = {tenant: [0] * span.points for tenant in tenants}
    params = {"tenants": sorted(lines), "minutes": span.minutes, "points": span.points}
    for tenant, ago, sent in _query("sparklines", params, alias):
        lines[tenant][-1 - ago] = sent
    return {tenant: tuple(line) for tenant, line in lines.items()}


def _query(name: str, params: dict[str, Any], alias: str) -> list[tuple[Any, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql.load(name), params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _point(row: Sequence[Any], waited: int | None) -> Point:
    minute, sent, failed, discarded, replayed, waiting, latency = row
    enqueued = None
    if waiting is not None and waited is not None:
        # What is counted and what relays write down is not of the same second.
        enqueued = max(0, sent + failed + discarded - replayed + waiting - waited)
    counts = [events or 0 for events in latency]
    return Point(
        minute=minute,
        sent=sent,
        failed=failed,
        discarded=discarded,
        replayed=replayed,
        enqueued=enqueued,
        waiting=waiting,
        p50=quantile(counts, 0.5),
        p95=quantile(counts, 0.95),
        p99=quantile(counts, 0.99),
    )
