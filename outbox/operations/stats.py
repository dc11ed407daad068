"""How the outbox stands, in figures that cost the same at any size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connections

from outbox import conf, sql
from outbox.models import EventStatus
from outbox.operations import backlog
from outbox.operations.backlog import Backlog
from outbox.operations.listing import database_now
from outbox.operations.pause import Pause, pauses
from outbox.operations.quick import quick
from outbox.operations.relays import RelayState, relays

COUNT_CAP = 10_000
FRESH = timedelta(seconds=10)
_UNCOUNTED = (EventStatus.SENT, EventStatus.DISCARDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Events of one status."""

    status: EventStatus
    events: int
    exact: bool
    """False: a rough figure, from the database's statistics or counted no further."""
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    taken_at: datetime
    """When all but the backlog was read, by the database's clock."""
    totals: tuple[Total, ...]
    backlog: Backlog
    """What waits, per tenant, with the time of its own count."""
    relays: tuple[RelayState, ...]
    pauses: tuple[Pause, ...]
    stale: str = ""
    """Why what waits could not be counted anew, if it could not."""

    @property
    def rate(self) -> float:
        """Events per second, over all relays alive."""
        return sum(relay.rate for relay in self.relays if relay.alive)


def stats(*, using: str | None = None) -> Stats:
    """Everything in one look. What waits is counted first if the last count is older than ten seconds."""
    alias = using or conf.get().database
    stale = ""
    try:
        counted = backlog.snapshot(refresh_if_older_than=FRESH, using=alias)
    except backlog.CountFailed as error:
        counted, stale = backlog.snapshot(using=alias), str(error)
    now = database_now(using=alias)
    return Stats(
        taken_at=now,
        totals=(*_counted(counted, now), *(_estimated(status, now, alias) for status in _UNCOUNTED)),
        backlog=counted,
        relays=relays(using=alias),
        pauses=pauses(using=alias),
        stale=stale,
    )


def _counted(counted: Backlog, now: datetime) -> tuple[Total, ...]:
    totals = counted.totals
    figures = (
        (EventStatus.PENDING, totals.pending),
        (EventStatus.SCHEDULED, totals.scheduled),
        (EventStatus.FAILED, totals.failed),
    )
    exact = counted.taken_at is not None
    return tuple(
        Total(status=status, events=events, exact=exact, taken_at=counted.taken_at or now) for status, events in figures
    )


def _estimated(status: EventStatus, now: datetime, alias: str) -> Total:
    with quick(alias), connections[alias].cursor() as cursor:
        cursor.execute(sql.load("count_status"), {"status": status.value, "cap": COUNT_CAP})
        ((events, expected),) = cursor.fetchall()
    if events < COUNT_CAP:
        return Total(status=status, events=events, exact=True, taken_at=now)
    return Total(status=status, events=max(events, expected or 0), exact=False, taken_at=now)
