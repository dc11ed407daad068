"""What a tenant's policy leaves to a job that makes events pending: its rate, and half of its backlog limit.

The other half is left to the application, whose events would be refused otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from outbox import conf
from outbox.models import TenantPolicy
from outbox.operations import backlog

SHARE = 0.5
RATE_SECONDS = 1.0
"""What a batch may fill of a tenant's rate."""
SLOWEST = 0.1
"""A rate below is taken for this one: a worker does not rest for minutes."""


class Full(Exception):
    """There is no room for the batch now."""


class Smaller(Exception):
    """There is room for so many events."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


@dataclass(frozen=True, slots=True)
class Limits:
    rate: float | None
    backlog: int | None


class Room:
    """Of one slice of a job. What it added itself is not in the last count yet: it keeps that in mind.

    `moved_at`: when the slice before committed its last batch; only a count that began later has all of it.
    """

    def __init__(self, *, moved_at: datetime | None, using: str) -> None:
        self._alias = using
        self._moved_at = moved_at
        self._counted_at: datetime | None = None
        self._pending: Mapping[str, int] = {}
        self._added: Counter[str] = Counter()
        self._added_before: Counter[str] = Counter()
        self._limits: dict[str, Limits] = {}

    def judge(self, tenants: Mapping[str, int]) -> None:
        """May raise `Smaller`, or `Full` with what there is to wait for."""
        self._limits = self._read_limits(tenants)
        for tenant_id, limits in self._limits.items():
            if limits.rate is not None and tenants[tenant_id] > max(1, int(limits.rate * RATE_SECONDS)):
                raise Smaller(max(1, int(limits.rate * RATE_SECONDS)))
        limited = {tenant: each.backlog for tenant, each in self._limits.items() if each.backlog is not None}
        if limited:
            self._count()
        for tenant_id, limit in limited.items():
            self._judge_backlog(tenant_id, tenants[tenant_id], limit)

    def added(self, tenants: Mapping[str, int]) -> float:
        """So many became pending; returns for how many seconds that is enough by the tenants' rates."""
        self._added.update(tenants)
        costs = [
            tenants[tenant] / max(each.rate, SLOWEST) for tenant, each in self._limits.items() if each.rate is not None
        ]
        return max(costs, default=0.0)

    def _read_limits(self, tenants: Mapping[str, int]) -> dict[str, Limits]:
        policies = TenantPolicy.objects.using(self._alias).filter(tenant_id__in=list(tenants))
        limited = policies.filter(Q(rate__isnull=False) | Q(backlog_limit__isnull=False))
        return {row[0]: Limits(row[1], row[2]) for row in limited.values_list("tenant_id", "rate", "backlog_limit")}

    def _judge_backlog(self, tenant_id: str, events: int, limit: int) -> None:
        pending = self._pending.get(tenant_id, 0) + self._added[tenant_id] + self._added_before[tenant_id]
        room = max(1, int(limit * SHARE)) - pending
        if room <= 0:
            raise Full(f"tenant {tenant_id} has {pending:,} pending events and a backlog_limit of {limit:,}")
        if events > room:
            raise Smaller(room)

    def _count(self) -> None:
        """What was added while a count ran may be in it or not, and is taken as not."""
        fresh = timedelta(seconds=conf.get().backlog_seconds)
        found = backlog.snapshot(refresh_if_older_than=fresh, using=self._alias)
        if found.taken_at is None or (self._moved_at is not None and found.taken_at < self._moved_at):
            raise Full("what is pending has not been counted since the last batch")
        if found.taken_at != self._counted_at:
            self._counted_at = found.taken_at
            self._pending = {each.tenant_id: each.pending for each in found.tenants}
            self._added_before, self._added = self._added, Counter()
