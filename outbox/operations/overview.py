"""Everything at a glance: `overview`.

Three queries, the same for one tenant and for ten thousand, and for everybody who asks; none reads the events.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import connections, transaction

from outbox import conf, sql
from outbox.models.names import EVERY_TENANT
from outbox.operations import freshness
from outbox.operations.pause import Pause
from outbox.operations.quick import quick
from outbox.operations.relays import RelayState, from_json
from outbox.operations.series import Span, read_sparks

LATE = timedelta(seconds=30)
"""A tenant whose oldest event has been due for longer is in trouble."""
OPEN_STATES = ("open", "forced_open")
CLOSED = "closed"
PUBLISH = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitNow:
    """A circuit as a call would meet it now."""

    name: str
    state: str
    """`closed`, `open`, `half_open`, `forced_open` or `forced_closed`."""
    open_until: datetime | None
    """When a call may be let through again, if none is now; None also where that does not end by itself."""

    @property
    def is_open(self) -> bool:
        """Whether it lets nothing through."""
        return self.state in OPEN_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRow:
    """One tenant, as of the last count; circuit and pause as of now."""

    tenant_id: str
    pending: int
    oldest_pending_at: datetime | None
    scheduled: int
    failed: int
    """Dead letters."""
    blocked: int
    """Those of the pending ones whose circuit lets nothing through now."""
    failed_per_minute: int
    """Attempts that failed in the last minute, roughly."""
    circuit: CircuitNow
    """The one that is open, if any; else that of `publish`."""
    quota_used: float | None
    """Part of its rate that it used in the last minute, roughly; 1 is all of it. None without a rate."""
    paused: bool
    """By itself; see also `Overview.pause`."""
    paused_until: datetime | None
    spark: tuple[int, ...]
    """Events sent in each step of the span, the oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The figures, of all tenants or of those asked for."""

    now: datetime
    """The database's clock when this was read."""
    taken_at: datetime | None
    """When what waits was counted; None: not yet."""
    tenants_waiting: int
    """Tenants with events that are due."""
    pending: int
    oldest_pending_at: datetime | None
    scheduled: int
    failed: int
    """Dead letters."""
    blocked: int
    open_circuits: int
    """Of tenants and of any name; that of everyone is not counted."""
    everyone: CircuitNow
    """The circuit of all tenants, which is open while the broker does not answer or staff hold it so."""
    pause: Pause | None
    """The pause of everyone."""
    relays: tuple[RelayState, ...]
    """All that are listed, those that died among them."""
    tenants: tuple[TenantRow, ...]
    """Worst off first."""

    @property
    def age(self) -> timedelta | None:
        """How old the count is."""
        return None if self.taken_at is None else max(timedelta(0), self.now - self.taken_at)

    @property
    def rate(self) -> float:
        """Events per second, over all relays alive, whoever's events they are."""
        return sum(relay.rate for relay in self.relays if relay.alive)


def overview(*, tenants: Collection[str] | None, span: Span, most: int = 50, using: str | None = None) -> Overview:
    """Read it all in three queries. Charts are drawn from `series`.

    `tenants`: every figure is of these alone; None: of all. Relays, and what concerns everyone, are the same for all.
    `most`: at most so many rows of tenants.

    If the last count is older than `freshness.COUNT_AFTER`, this process counts after the present transaction, unless
    another one does. So the next look finds newer figures, and this one does not wait.
    """
    alias = using or conf.get().database
    scope = None if tenants is None else sorted(set(tenants))
    with quick(alias):
        now, taken_at, *figures = _query("overview", {"tenants": scope}, alias)[0]
        rows = _query("overview_tenants", {"tenants": scope, "most": most, "late": LATE}, alias)
        sparks = read_sparks(tenants=[row[0] for row in rows], span=span, alias=alias)
    found = _overview(now, taken_at, figures)
    found["tenants"] = tuple(_tenant_row(row, sparks[row[0]]) for row in rows)
    if freshness.is_stale(taken_at, now=now):
        transaction.on_commit(partial(freshness.count_soon, using=alias), using=alias)
    return Overview(**found)


def _overview(now: datetime, taken_at: datetime | None, figures: list[Any]) -> dict[str, Any]:
    waiting, pending, oldest, scheduled, failed, blocked, circuits, state, retry_at, *pause, relays = figures
    by, reason, until = pause
    return {
        "now": now,
        "taken_at": taken_at,
        "tenants_waiting": waiting,
        "pending": pending,
        "oldest_pending_at": oldest,
        "scheduled": scheduled,
        "failed": failed,
        "blocked": blocked,
        "open_circuits": circuits,
        "everyone": CircuitNow(name=PUBLISH, state=state or CLOSED, open_until=retry_at),
        "pause": None if by is None else Pause(tenant_id=EVERY_TENANT, by=by, reason=reason, until=until),
        "relays": from_json(relays, now=now),
    }


def _tenant_row(row: tuple[Any, ...], spark: tuple[int, ...]) -> TenantRow:
    tenant_id, pending, oldest, scheduled, failed, blocked, failing, name, state, retry_at, used, paused, until = row
    return TenantRow(
        tenant_id=tenant_id,
        pending=pending,
        oldest_pending_at=oldest,
        scheduled=scheduled,
        failed=failed,
        blocked=blocked,
        failed_per_minute=failing,
        circuit=CircuitNow(name=name or PUBLISH, state=state or CLOSED, open_until=retry_at),
        quota_used=used,
        paused=paused,
        paused_until=until if paused else None,
        spark=spark,
    )


def _query(name: str, params: dict[str, Any], alias: str) -> list[tuple[Any, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql.load(name), params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
