"""One tenant: `tenant_state`, in two queries, and with what led to it `tenant_summary`, in five.

One of these reads some of its failed events, no other any.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections

from circuits.models import CircuitTransition
from circuits.operations import listing as circuits
from circuits.operations.listing import CircuitRow
from outbox import conf, sql
from outbox.models import OperatorAction
from outbox.models.names import EVERY_TENANT
from outbox.operations.overview import CLOSED, PUBLISH, CircuitNow
from outbox.operations.pause import Pause
from outbox.operations.quick import quick
from outbox.operations.series import Point, Span, read_points

MOST_FAILURES = 1_000
"""Failed events looked at, of dead letters and of retries each."""
MOST_CIRCUITS = 50
MOST_CHANGES = 20
"""Changes of circuits, and operators' actions, listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyNow:
    """What holds for the tenant."""

    own: bool
    """Whether it has a policy; else these are the defaults."""
    weight: float
    rate: float | None
    """Most events per second; None: no limit."""
    batch_quota: int | None
    backlog_limit: int | None
    retention_days: int | None
    """Days that sent and discarded events are kept, the default included; None: for ever."""
    retention_is_own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failed events of one error class and topic."""

    error_class: str
    topic: str
    dead_letters: int
    retrying: int
    """Those that wait for another attempt."""
    newest_at: datetime
    """When the newest of them was enqueued."""
    message: str
    """The last error of that one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    groups: tuple[FailureGroup, ...]
    """Those with most dead letters first."""
    more: bool
    """Whether only the last `MOST_FAILURES` of a kind were looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantState:
    """A tenant, what waits as of the last count, all else as of now."""

    tenant_id: str
    known: bool
    """False: nothing in the database has that name."""
    now: datetime
    taken_at: datetime | None
    pending: int
    oldest_pending_at: datetime | None
    scheduled: int
    failed: int
    blocked: int
    failed_per_minute: int
    policy: PolicyNow
    quota_used: float | None
    """Part of its rate that it used in the last minute, roughly; None without a rate."""
    pause: Pause | None
    """Its own."""
    pause_of_everyone: Pause | None
    everyone: CircuitNow
    """The circuit of all tenants."""
    circuits: tuple[CircuitRow, ...]
    """Its own, with thresholds. Those that never failed are in no list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSummary(TenantState):
    """And what led to it."""

    history: tuple[CircuitTransition, ...]
    """The last changes of its circuits, the newest first."""
    failures: Failures
    actions: tuple[OperatorAction, ...]
    """What operators did about it last, the newest first."""
    points: tuple[Point, ...]


def tenant_state(*, tenant_id: str, using: str | None = None) -> TenantState:
    """What changes from one moment to the next. Whether one may see it is for the caller to ask."""
    alias = using or conf.get().database
    with quick(alias):
        found, _ = _read_state(tenant_id, alias, failures=0)
    return TenantState(**found)


def tenant_summary(*, tenant_id: str, span: Span, using: str | None = None) -> TenantSummary:
    """All of it, in five queries whatever the tenant's size. Whether one may see it is for the caller to ask."""
    alias = using or conf.get().database
    with quick(alias):
        found, failures = _read_state(tenant_id, alias, failures=MOST_FAILURES)
        names = {PUBLISH, *(each.name for each in found["circuits"])}
        return TenantSummary(
            **found,
            failures=_failures(failures),
            history=_history(tenant_id, names, alias),
            actions=_actions(tenant_id, alias),
            points=read_points(span=span, tenants=[tenant_id], alias=alias),
        )


def _read_state(tenant_id: str, alias: str, *, failures: int) -> tuple[dict[str, Any], str | None]:
    """And the groups of its last failed events, of which so many of each kind are looked at."""
    *row, groups = _query("tenant_summary", {"tenant": tenant_id, "most": failures}, alias)[0]
    found = _figures(row[:7]) | _policy(row[7:13]) | _pauses(tenant_id, row[13:20]) | _state(row[20:])
    own = circuits.circuits(tenant_id=tenant_id, limit=MOST_CIRCUITS, now=found["now"])
    return {**found, "tenant_id": tenant_id, "circuits": tuple(own)}, groups


def _figures(row: Sequence[Any]) -> dict[str, Any]:
    names = ("now", "taken_at", "pending", "oldest_pending_at", "scheduled", "failed", "blocked")
    return dict(zip(names, row, strict=True))


def _policy(row: Sequence[Any]) -> dict[str, Any]:
    own, weight, rate, batch_quota, backlog_limit, retention_days = row
    policy = PolicyNow(
        own=own,
        weight=weight,
        rate=rate,
        batch_quota=batch_quota,
        backlog_limit=backlog_limit,
        retention_days=retention_days or conf.get().retention_days,
        retention_is_own=retention_days is not None,
    )
    return {"policy": policy}


def _pauses(tenant_id: str, row: Sequence[Any]) -> dict[str, Any]:
    paused, *own = row[:4]
    everyone = row[4:]
    return {
        "pause": _pause(tenant_id, *own) if paused else None,
        "pause_of_everyone": None if everyone[0] is None else _pause(EVERY_TENANT, *everyone),
    }


def _pause(tenant_id: str, by: str, reason: str, until: datetime | None) -> Pause:
    return Pause(tenant_id=tenant_id, by=by, reason=reason, until=until)


def _state(row: Sequence[Any]) -> dict[str, Any]:
    state, retry_at, quota_used, failing, known = row
    return {
        "everyone": CircuitNow(name=PUBLISH, state=state or CLOSED, open_until=retry_at),
        "quota_used": quota_used,
        "failed_per_minute": failing,
        "known": known,
    }


def _history(tenant_id: str, names: set[str], alias: str) -> tuple[CircuitTransition, ...]:
    """Circuit by circuit, as ix_circuit_history has them."""
    changes = CircuitTransition.objects.using(alias).filter(tenant_id=tenant_id).order_by("-id")
    first, *others = (changes.filter(name=name)[:MOST_CHANGES] for name in sorted(names))
    found = first.union(*others, all=True).order_by("-id")[:MOST_CHANGES] if others else first
    return tuple(found)


def _actions(tenant_id: str, alias: str) -> tuple[OperatorAction, ...]:
    with connections[alias].cursor() as cursor:
        # A GIN index is read in no other way.
        cursor.execute("SET LOCAL enable_bitmapscan = on")
    params = {"tenant": tenant_id, "most": MOST_CHANGES}
    return tuple(OperatorAction.objects.using(alias).raw(sql.load("last_actions"), params))


def _failures(groups: str | None) -> Failures:
    found = tuple(
        FailureGroup(**{**group, "newest_at": datetime.fromisoformat(group["newest_at"])})
        for group in json.loads(groups or "[]")
    )
    looked_at = (sum(each.dead_letters for each in found), sum(each.retrying for each in found))
    return Failures(groups=found, more=MOST_FAILURES in looked_at)


def _query(name: str, params: dict[str, Any], alias: str) -> list[tuple[Any, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql.load(name), params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
