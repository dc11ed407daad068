"""What a relay does beside its rounds, in a thread and a session of its own, so that no round waits for it.

Heartbeat, burial of dead relays, promotion of due events, and the search for lanes with work; the backlog is counted
from here, in another thread.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from psycopg.errors import LockNotAvailable

import outbox
from outbox import conf, sql
from outbox.errors import RelayBuried
from outbox.relay.backlog import LOOK_SECONDS, BacklogCounter
from outbox.relay.level import Level
from outbox.relay.session import LOCK_SECONDS, connect, cut_off, lock_key, query

logger = logging.getLogger("outbox.relay")

SCAN_CHUNK = 2_000
HEARTBEAT_SECONDS = 1.0
LEVEL_SECONDS = 0.25
"""Other relays carry on where a level stood at the pace it had then, and divide the lanes by that."""
STRANDED_SECONDS = 30.0
PROMOTE_CHUNK = 1_000
PROMOTE_SECONDS = 0.5
"""However many events are due, the other duties have their turn after this."""
LAST_NAME = "\x7f"
"""Sorts behind every tenant id."""


@dataclass(frozen=True, slots=True)
class Found:
    """Tenants that have pending events; `complete`: when a search began that has left nothing out."""

    tenants: list[str]
    complete: float | None


@dataclass(frozen=True, slots=True)
class Promoted:
    """Events that became due, per tenant, and when the oldest of them was created."""

    oldest: dict[str, int]


@dataclass(frozen=True, slots=True)
class Stranded:
    """Pending events that lay behind the floors of their lanes, per tenant, and from where to read now."""

    oldest: dict[str, int]


News = Found | Promoted | Stranded


@dataclass(slots=True)
class Vitals:
    """What the relay's own thread tells about itself."""

    lanes: int = 0
    backlogged: int = 0
    published: int = 0
    level: Level = field(default_factory=Level)


@dataclass(slots=True)
class Duty:
    """Something to do every so many seconds; what takes long is done less often."""

    run: Callable[[], None]
    every: float
    rarely: float = 0.0
    """Pause at least so many times what it took."""
    due: float = 0.0

    def do_if_due(self, stop: threading.Event) -> None:
        began = time.monotonic()
        if self.due <= began and not stop.is_set():
            try:
                self.run()
            except LockNotAvailable:
                logger.warning("Another session holds a lock for long; what waits for it is tried again later.")
            ended = time.monotonic()
            self.due = max(began + self.every, ended + self.rarely * (ended - began))


class Watcher:
    def __init__(self, *, relay_id: uuid.UUID, known: Callable[[], list[str]], wake: Callable[[], None]) -> None:
        self._relay_id = relay_id
        self._known = known
        self._wake = wake
        self._stop = threading.Event()
        self._news: deque[News | BaseException] = deque()
        self._rate_base = (time.monotonic(), 0)
        self._laden_told = False
        self.vitals = Vitals()
        self.scan_now = threading.Event()
        self._thoroughly = threading.Event()
        self._beat_now = threading.Event()
        self._counter = BacklogCounter()
        self._connection = connect("watch", lock_seconds=LOCK_SECONDS)
        self._register()
        self._thread = threading.Thread(target=self._work, name="outbox-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def news(self) -> list[News]:
        """What happened since the last call. Raises the error that ended the thread."""
        found: list[News] = []
        while self._news:
            item = self._news.popleft()
            if isinstance(item, BaseException):
                raise item
            found.append(item)
        return found

    def search_thoroughly(self) -> None:
        """Soon a search begins that looks behind floors as well."""
        self._thoroughly.set()
        self.scan_now.set()

    def tell_backlogged(self, lanes: int) -> None:
        """How many lanes have a backlog that lasts. Others hear at once whether there are any."""
        before, self.vitals.backlogged = self.vitals.backlogged, lanes
        if bool(lanes) != bool(before):
            self._beat_now.set()
            self.scan_now.set()

    def close(self) -> None:
        """Ends the thread and takes the relay off the list."""
        self._stop.set()
        self.scan_now.set()
        self._thread.join(timeout=10)
        self._counter.close()
        try:
            query(self._connection, "DELETE FROM outbox_relays WHERE id = %(id)s", {"id": self._relay_id})
            self._tell_the_others()
        finally:
            self._connection.close()

    def abandon(self) -> None:
        """The same after the database went away: nothing is said to it any more."""
        self._stop.set()
        self.scan_now.set()
        cut_off(self._connection, self._thread)
        self._counter.close()

    def _work(self) -> None:
        scan = Duty(self._scan, every=conf.get().scan_seconds, rarely=10)
        beat = Duty(self._heartbeat, every=HEARTBEAT_SECONDS)
        duties = (
            beat,
            Duty(self._tell_level, every=LEVEL_SECONDS),
            Duty(self._promote, every=0.25),
            scan,
            Duty(self._bury_the_dead, every=0.5),
            Duty(self._count_backlog, every=LOOK_SECONDS, due=time.monotonic() + LOOK_SECONDS),
            Duty(self._find_stranded, every=STRANDED_SECONDS, rarely=50, due=time.monotonic() + STRANDED_SECONDS),
        )
        try:
            while not self._stop.is_set():
                for duty in duties:
                    duty.do_if_due(self._stop)
                rest = min(duty.due for duty in duties) - time.monotonic()
                if rest > 0 and self.scan_now.wait(rest):
                    self.scan_now.clear()
                    scan.due = 0.0
                if self._beat_now.is_set():
                    self._beat_now.clear()
                    beat.due = 0.0
        except BaseException as error:  # handed to the relay's thread, which logs and starts anew
            self._tell(error)

    def _tell(self, item: News | BaseException) -> None:
        self._news.append(item)
        self._wake()

    def _register(self) -> None:
        query(
            self._connection,
            "INSERT INTO outbox_relays (id, host, pid, version) VALUES (%(id)s, %(host)s, %(pid)s, %(version)s)",
            {
                "id": self._relay_id,
                "host": socket.gethostname()[:255],
                "pid": os.getpid(),
                "version": outbox.__version__,
            },
        )
        self._tell_the_others()

    def _tell_the_others(self) -> None:
        """That the fleet has changed: they renew at once, and so see which lanes are theirs now."""
        query(self._connection, "SELECT pg_notify('outbox_policy', '')")

    def _heartbeat(self) -> None:
        then, before = self._rate_base
        now, published = time.monotonic(), self.vitals.published
        rate = (published - before) / (now - then) if now > then else 0.0
        self._rate_base = (now, published)
        laden = bool(self.vitals.backlogged)
        alive = query(
            self._connection,
            "UPDATE outbox_relays SET heartbeat_at = clock_timestamp(), rate = %(rate)s, lanes = %(lanes)s,"
            " backlogged = %(backlogged)s, virtual_time = %(level)s, pace = %(pace)s WHERE id = %(id)s RETURNING id",
            {
                "id": self._relay_id,
                "rate": rate,
                "lanes": self.vitals.lanes,
                "backlogged": self.vitals.backlogged,
                "level": self.vitals.level.value(now),
                "pace": self.vitals.level.pace,
            },
        )
        if not alive:
            raise RelayBuried("Another relay found our session gone and has taken our lanes.")
        if laden != self._laden_told:
            self._laden_told = laden
            self._tell_the_others()

    def _tell_level(self) -> None:
        now = time.monotonic()
        level = self.vitals.level.value(now)
        if level is not None:
            query(
                self._connection,
                "UPDATE outbox_relays SET heartbeat_at = clock_timestamp(), virtual_time = %(level)s, pace = %(pace)s"
                " WHERE id = %(id)s",
                {"id": self._relay_id, "level": level, "pace": self.vitals.level.pace},
            )

    def _bury_the_dead(self) -> None:
        """Whoever gets the advisory lock of another relay knows that its session, hence the relay, is gone."""
        if not conf.get().session_takeover:
            self._bury_the_silent()
            return
        others = query(self._connection, "SELECT id FROM outbox_relays WHERE id <> %(id)s", {"id": self._relay_id})
        for (other,) in others:
            key = {"key": lock_key(other)}
            if query(self._connection, "SELECT pg_try_advisory_lock(%(key)s::bigint)", key)[0][0]:
                try:
                    freed = query(self._connection, sql.load("bury_relay"), {"relay": other})
                finally:
                    query(self._connection, "SELECT pg_advisory_unlock(%(key)s::bigint)", key)
                if freed:
                    self._tell(Found(tenants=[row[0] for row in freed], complete=None))

    def _bury_the_silent(self) -> None:
        """Without sessions to watch only the lease ends an owner; its row goes when it was silent for ten leases."""
        query(self._connection, sql.load("bury_silent"), {"lease": conf.get().lease_seconds})

    def _promote(self) -> None:
        until = time.monotonic() + PROMOTE_SECONDS
        patient, without = True, list[str]()
        while not self._stop.is_set():
            params = {"limit": PROMOTE_CHUNK, "patient": patient, "without": without}
            try:
                rows = query(self._connection, sql.load("promote"), params)
            except LockNotAvailable:
                if not patient:
                    raise
                patient = False
                continue
            oldest = {tenant: created for tenant, created, events in rows if events}
            if oldest:
                self._tell(Promoted(oldest))
            locked = [tenant for tenant, _, events in rows if not events]
            without += locked
            whole = not locked and sum(events for _, _, events in rows) < PROMOTE_CHUNK
            if whole or time.monotonic() >= until:
                return

    def _scan(self) -> None:
        began, thorough = time.monotonic(), self._thoroughly.is_set()
        if thorough:
            self._thoroughly.clear()
            self._find_stranded()
        known = sorted(self._known())
        while not self._stop.is_set():
            params = {"after": ["", *known], "before": [*known, LAST_NAME], "limit": SCAN_CHUNK}
            found = [row[0] for row in query(self._connection, sql.load("scan"), params)]
            if len(found) < SCAN_CHUNK:
                break
            self._tell(Found(tenants=found, complete=None))
            known = sorted({*known, *found})
        found += self._probe(known)
        self._tell(Found(tenants=found, complete=began if thorough else None))

    def _probe(self, known: list[str]) -> list[str]:
        return [row[0] for row in query(self._connection, sql.load("probe_lanes"), {"tenants": known})] if known else []

    def _count_backlog(self) -> None:
        self._counter.look(self._connection)

    def _find_stranded(self) -> None:
        blocking = {"dead_letters_block": conf.get().dead_letter_blocks_key}
        oldest = {row[0]: row[1] for row in query(self._connection, sql.load("find_stranded"), blocking)}
        if oldest:
            logger.warning(
                "pending events behind the floor of %d lanes, such as %s; looking again", len(oldest), min(oldest)
            )
            self._tell(Stranded(oldest))
        unclaimed = [row[0] for row in query(self._connection, sql.load("find_unclaimed"))]
        if unclaimed:
            self._tell(Found(tenants=unclaimed, complete=None))
