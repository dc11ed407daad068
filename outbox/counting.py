"""Counts what waits, tenant by tenant, for everybody: whichever process gets the claim does it, and then the next one.

Index entries are read in chunks of some milliseconds, each a statement and a snapshot of its own with a time limit,
and three times as long is rested in between. So a count may take seconds, nobody waits for it, and its figures are
not of one moment.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg

from circuits.sessions import Session, limit_statements, open_session
from outbox import conf, minutes, sql
from outbox.models import EventStatus

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 4.0
"""A process that dies while it counts is followed by another one after this."""
STATEMENT_SECONDS = 2.0
CHUNK_EVENTS = 5_000
RESTS = 3
"""How long a rest is, in times of the chunk before it."""
# Statistics may be from a time when scanning the table was cheap.
BY_INDEX: LiteralString = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"
RARELY = 10
"""Pause so many times what a count took."""
SESSION_NAME = "outbox-relay backlog"
"""Like a relay's: its transactions enqueue nothing, so nobody has to wait for what they may commit."""

_KEEP_SECONDS = 1.0
_BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)
_COUNTED = (EventStatus.PENDING, EventStatus.SCHEDULED, EventStatus.FAILED)


class ClaimLost(Exception):
    """Another process counts by now."""


class Stopped(Exception):
    """The count was not to be finished."""


@dataclass(slots=True)
class Tally:
    """What was counted of a tenant so far."""

    pending: int = 0
    oldest_pending_at: datetime | None = None
    scheduled: int = 0
    failed: int = 0


def claim(session: Any) -> int | None:
    """The token of a count that is due and now ours to make; None when none is, or somebody else makes it.

    `session` is any psycopg connection in autocommit.
    """
    row = session.execute(sql.load("claim_count"), {"seconds": CLAIM_SECONDS}).fetchone()
    return row[0] if row else None


def count_if_due(*, alias: str) -> bool:
    """Count now, on a session of its own, unless somebody did or does. Whether figures were written.

    Raises psycopg's errors; a statement that takes longer than two seconds is one.
    """
    with open_session(alias, name=SESSION_NAME) as session:
        token = claim(session)
        return token is not None and count(session, token=token)


def count(
    session: Session,
    *,
    token: int,
    rest: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Count under a claim and write what has changed. False if the claim was lost or `rest` returned something true."""
    counter = _Counter(session, token=token, rest=rest, clock=clock)
    try:
        counter.run()
    except ClaimLost:
        return False
    except Stopped:
        counter.give_up(pause=0)
        return False
    except Exception:
        if not session.broken:
            counter.give_up(pause=counter.pause)
        raise
    return True


class _Counter:
    def __init__(
        self, session: Session, *, token: int, rest: Callable[[float], object], clock: Callable[[], float]
    ) -> None:
        self._session = session
        self._token = token
        self._rest = rest
        self._clock = clock
        self._kept_at = clock()
        self._busy = 0.0
        self._tallies: dict[str, Tally] = {}

    @property
    def pause(self) -> float:
        """Seconds until the next count."""
        return max(conf.get().backlog_seconds, RARELY * self._busy)

    def run(self) -> None:
        (taken_at,) = self._session.execute("SELECT clock_timestamp()").fetchone() or (None,)
        for status in _COUNTED:
            self._count(status)
        self._write(taken_at)
        self._add_to_series(taken_at)

    def give_up(self, *, pause: float) -> None:
        self._session.execute(sql.load("keep_count"), {"token": self._token, "seconds": pause})

    def _count(self, status: EventStatus) -> None:
        after: tuple[str, datetime] = ("", _BEFORE_ALL)
        while True:
            began = self._clock()
            rows = self._chunk(status, after)
            for tenant_id, events, oldest, _ in rows:
                self._add(tenant_id, status, events, oldest)
            took = self._clock() - began
            self._busy += took
            if sum(row[1] for row in rows) < CHUNK_EVENTS:
                return
            after = (rows[-1][0], rows[-1][3])
            if self._rest(RESTS * took):
                raise Stopped
            self._keep()

    def _chunk(self, status: EventStatus, after: tuple[str, datetime]) -> list[tuple[Any, ...]]:
        with self._session.transaction():
            self._limit()
            self._session.execute(BY_INDEX)
            params = {"status": status.value, "tenant": after[0], "at": after[1], "limit": CHUNK_EVENTS}
            return self._session.execute(sql.load("count_events"), params).fetchall()

    def _add(self, tenant_id: str, status: EventStatus, events: int, oldest: datetime) -> None:
        tally = self._tallies.setdefault(tenant_id, Tally())
        setattr(tally, status.value, getattr(tally, status.value) + events)
        if status is EventStatus.PENDING and tally.oldest_pending_at is None:
            tally.oldest_pending_at = oldest

    def _keep(self) -> None:
        now = self._clock()
        if now - self._kept_at < _KEEP_SECONDS:
            return
        self._kept_at = now
        kept = self._session.execute(sql.load("keep_count"), {"token": self._token, "seconds": CLAIM_SECONDS})
        if not kept.rowcount:
            raise ClaimLost

    def _write(self, taken_at: datetime | None) -> None:
        names, tallies = list(self._tallies), list(self._tallies.values())
        params = {
            "token": self._token,
            "taken_at": taken_at,
            "seconds": self._busy,
            "rest": self.pause,
            "tenants": names,
            "pending": [each.pending for each in tallies],
            "oldest": [each.oldest_pending_at for each in tallies],
            "scheduled": [each.scheduled for each in tallies],
            "failed": [each.failed for each in tallies],
        }
        with self._session.transaction():
            self._limit()
            self._session.execute("SET LOCAL synchronous_commit = off")
            ours = self._session.execute(sql.load("fence_count"), {"token": self._token}).fetchone()
            if ours is None:
                raise ClaimLost
            self._session.execute(sql.load("write_backlogs"), params)

    def _add_to_series(self, taken_at: datetime | None) -> None:
        """What waits is a point of the charts. The count stands without it."""
        if taken_at is None:
            return
        waiting = ((name, each.pending + each.scheduled) for name, each in self._tallies.items())
        try:
            with self._session.transaction():
                self._limit()
                self._session.execute("SET LOCAL synchronous_commit = off")
                self._session.execute(BY_INDEX)
                minutes.write_waiting(self._session, taken_at=taken_at, waiting=waiting)
            with self._session.transaction():
                self._limit()
                self._session.execute("SET LOCAL synchronous_commit = off")
                self._session.execute(BY_INDEX)
                minutes.prune(self._session)
        except psycopg.OperationalError:
            logger.debug("What waits in this minute could not be written down; the next count may be.", exc_info=True)

    def _limit(self) -> None:
        limit_statements(self._session, seconds=STATEMENT_SECONDS)
