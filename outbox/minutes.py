"""Writing what happened, by minute, quarter of an hour and tenant.

Relays add what they sent and what failed, operators what they discarded and replayed, and whoever counts what waits
writes that down and deletes what is over. A writer has rows for `MOST_TENANTS` tenants a minute, one for the others and
one for all together; so a minute has at most 1,002 rows for each relay, and 1,002 for the count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from typing import Any, Protocol

from circuits.names import OTHER_TENANTS
from outbox import conf, sql
from outbox.latency import trimmed
from outbox.models.names import EVERY_TENANT
from outbox.models.series import STEPS

MOST_TENANTS = 1_000
MINUTES_HOURS = 2
"""Longer charts are drawn from quarters of an hour."""
PRUNE_ROWS = 5_000
"""Deleted at a time, after each count."""


class Executes(Protocol):
    """A connection or a cursor, psycopg's or Django's."""

    def execute(self, query: Any, params: Any = ..., /) -> Any: ...


@dataclass(slots=True)
class Counts:
    """What happened to a tenant's events in a minute, as far as one writer knows."""

    sent: int = 0
    failed: int = 0
    failed_attempts: int = 0
    discarded: int = 0
    replayed: int = 0
    latency: list[int] = field(default_factory=list)
    """See `outbox.latency`."""

    def __iadd__(self, other: Counts) -> Counts:
        self.sent += other.sent
        self.failed += other.failed
        self.failed_attempts += other.failed_attempts
        self.discarded += other.discarded
        self.replayed += other.replayed
        longest = max(len(self.latency), len(other.latency))
        padded = (each + [0] * (longest - len(each)) for each in (self.latency, other.latency))
        self.latency = [mine + theirs for mine, theirs in zip(*padded, strict=True)]
        return self


def add(session: Executes, counts: Mapping[str, Counts], *, minute: int | None = None) -> None:
    """Add to the rows of one minute and of its quarter, and the sum of all to those of `*`.

    Last in its transaction: other writers wait for it.

    `minute`: since 2000-01-01 UTC; None: the present one.
    """
    together = Counts()
    for each in counts.values():
        together += each
    rows = {**counts, EVERY_TENANT: together}
    each_of = rows.values()
    params = {
        "minute": minute,
        "tenants": list(rows),
        "sent": [each.sent for each in each_of],
        "failed": [each.failed for each in each_of],
        "failed_attempts": [each.failed_attempts for each in each_of],
        "discarded": [each.discarded for each in each_of],
        "replayed": [each.replayed for each in each_of],
        "latencies": ["{" + ",".join(map(str, trimmed(each.latency))) + "}" for each in each_of],
    }
    session.execute(sql.load("add_minutes"), params)


def write_waiting(session: Executes, *, taken_at: datetime, waiting: Iterable[tuple[str, int]]) -> None:
    """What a count has found: the tenants for whom most waits, the others together, and all."""
    found = [(tenant, events) for tenant, events in waiting if events]
    rows = dict(nlargest(MOST_TENANTS, found, key=lambda each: (each[1], each[0])))
    together = sum(events for _, events in found)
    others = together - sum(rows.values())
    if others:
        rows[OTHER_TENANTS] = others
    rows[EVERY_TENANT] = together
    params = {"taken_at": taken_at, "tenants": list(rows), "waiting": list(rows.values())}
    session.execute(sql.load("write_waiting"), params)


def prune(session: Executes) -> None:
    """Delete some of what is over: minutes after `MINUTES_HOURS`, quarters after `OUTBOX_SERIES_HOURS`."""
    longest = conf.get().series_hours
    for step, hours in zip(STEPS, (min(MINUTES_HOURS, longest), longest), strict=True):
        session.execute(sql.load("prune_minutes"), {"step": step, "hours": hours, "limit": PRUNE_ROWS})
