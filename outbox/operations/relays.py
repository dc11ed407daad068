"""The relays that say they run."""

from __future__ import annotations

import json
from collections.abc import Iterable
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


def relays(*, using: str | None = None) -> tuple[RelayState, ...]:
    """All that are listed, by host. One that died is listed until another relay finds out."""
    alias = using or conf.get().database
    return _states(OutboxRelay.objects.using(alias).order_by("host", "pid"), database_now(using=alias))


def from_json(text: str | None, *, now: datetime) -> tuple[RelayState, ...]:
    """The same from what another question had the database put together; `now` is its clock."""
    rows = json.loads(text or "[]")
    return _states((OutboxRelay(**{**row, **_times(row)}) for row in rows), now)


def _times(row: dict[str, str]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(row[name]) for name in ("started_at", "heartbeat_at")}


def _states(rows: Iterable[OutboxRelay], now: datetime) -> tuple[RelayState, ...]:
    lease = timedelta(seconds=conf.get().lease_seconds)
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
        for row in rows
    )
