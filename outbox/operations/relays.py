"""The relays that say they run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from outbox import conf
from outbox.models import OutboxRelay
from outbox.operations.listing import database_now


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayState:
    relay_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    heartbeat_at: datetime
    silent: timedelta
    """Since its last heartbeat."""
    lanes: int
    rate: float
    """Events per second."""
    alive: bool
    """Whether its heartbeat is younger than a lease."""


def relays(*, using: str | None = None, now: datetime | None = None) -> tuple[RelayState, ...]:
    """All that are listed, by host. One that died is listed until another relay finds out.

    `now`: the database's clock, if it is known already.
    """
    settings = conf.get()
    alias = using or settings.database
    now, lease = now or database_now(using=alias), timedelta(seconds=settings.lease_seconds)
    return tuple(
        RelayState(
            relay_id=str(row.id),
            host=row.host,
            pid=row.pid,
            version=row.version,
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            silent=max(timedelta(0), now - row.heartbeat_at),
            lanes=row.lanes,
            rate=row.rate,
            alive=now - row.heartbeat_at < lease,
        )
        for row in OutboxRelay.objects.using(alias).order_by("host", "pid")
    )
