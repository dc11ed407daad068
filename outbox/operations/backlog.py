"""How much waits: read from the last count, which one process makes for all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from django.db import connections

from outbox import conf, counting, sql
from outbox.errors import OutboxError


class CountFailed(OutboxError):
    """What waits could not be counted now; the last count stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Events by what they wait for."""

    pending: int = 0
    """Due and not acknowledged."""
    oldest_pending_at: datetime | None = None
    """When the oldest of these was created."""
    blocked: int = 0
    """Those of the pending ones whose tenant's circuit lets nothing through at present."""
    scheduled: int = 0
    """Delayed, or waiting for another attempt."""
    failed: int = 0
    """Dead letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFigures(Figures):
    tenant_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals(Figures):
    tenants: int = 0
    """Those with events that are due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The last count. Both times are the database's."""

    taken_at: datetime | None
    """When it began; None when nothing has been counted yet."""
    read_at: datetime | None
    tenants: tuple[TenantFigures, ...]
    """Tenants for whom anything waits or is a dead letter, those that wait longest first."""
    totals: Totals

    @property
    def age(self) -> timedelta | None:
        """How old the figures were when they were read."""
        return None if self.taken_at is None or self.read_at is None else self.read_at - self.taken_at


def snapshot(*, refresh_if_older_than: timedelta | None = None, using: str | None = None) -> Backlog:
    """The last count as it stands, in one query.

    `refresh_if_older_than`: count first if the figures are older than that, or if there are none. While a relay runs
    they are not. Then this takes as long as the count, on a session of its own, and sees committed events only; while
    somebody else counts, or did within the last OUTBOX_BACKLOG_SECONDS, the last figures are returned all the same.
    Raises `CountFailed` when the count fails.
    """
    alias = using or conf.get().database
    found = _read(alias)
    if refresh_if_older_than is None or (found.age is not None and found.age <= refresh_if_older_than):
        return found
    try:
        counted = counting.count_if_due(alias=alias)
    except psycopg.Error as error:
        raise CountFailed(f"What waits could not be counted: {' '.join(str(error).split())}") from error
    return _read(alias) if counted else found


def _read(alias: str) -> Backlog:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql.load("backlogs"))
        rows = cursor.fetchall()
    if not rows:
        return Backlog(taken_at=None, read_at=None, tenants=(), totals=Totals())
    read_at, taken_at, tenants, pending, oldest, scheduled, failed = rows[0][:7]
    each = tuple(_tenants(rows))
    totals = Totals(
        tenants=tenants,
        pending=pending,
        oldest_pending_at=oldest,
        blocked=sum(tenant.blocked for tenant in each),
        scheduled=scheduled,
        failed=failed,
    )
    return Backlog(taken_at=taken_at, read_at=read_at, tenants=each, totals=totals)


def _tenants(rows: Iterable[tuple[Any, ...]]) -> Iterable[TenantFigures]:
    for row in rows:
        tenant_id, pending, oldest, scheduled, failed, blocked = row[7:]
        if tenant_id is not None:
            yield TenantFigures(
                tenant_id=tenant_id,
                pending=pending,
                oldest_pending_at=oldest,
                blocked=blocked,
                scheduled=scheduled,
                failed=failed,
            )
