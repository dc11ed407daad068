"""Settling: one thread with a session of its own writes what the broker said while the next round is under way."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, LiteralString

from psycopg.errors import LockNotAvailable

from outbox import sql, wakeup
from outbox.relay.session import LOCK_SECONDS, Connection, array, connect, cut_off, numbers, query
from outbox.relay.spans import Span

# Rows that others have locked are left out by then; what a whole table is locked for has to be waited for.
_WAIT_FOR_TABLES = "SET LOCAL lock_timeout = 0"

MOST_HELD_RECORDED = 20
"""Attempts that are written down of the events held in one settle: they come again without end."""


@dataclass(slots=True)
class Acknowledged:
    """What the broker acknowledged of one lane."""

    tenant: str
    token: int
    ids: list[int]
    partitions: list[int]
    offsets: list[int]
    spans: list[Span] = field(default_factory=list)
    """When they were created, as far as is known of so many at once."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed attempt; without a delay the event is a dead letter."""

    tenant: str
    event_id: int
    delay: float | None
    code: int
    error_class: str
    message: str
    topic: str = ""
    suspect: bool = False
    """Whether it may be its tenant's fault, or its topic's."""
    spared: bool = False
    """Whether no attempt is burned if it is the tenant's: its circuit is not closed."""
    held: bool = False
    """Whether it waits for a topic that several tenants miss: after the first one no attempt is burned."""


@dataclass(slots=True)
class CircuitReport:
    """What a settle has to tell of one lane's circuit."""

    tenant: str
    token: int
    epoch: int
    probe: bool = False
    acknowledged: int = 0
    failed: list[str] = field(default_factory=list)
    """Error codes of the failures that are the tenant's fault; filled in by the thread."""


@dataclass(frozen=True, slots=True)
class LaneState:
    """What a lane row takes over from memory when its lease is renewed or given back."""

    tenant: str
    token: int
    virtual_time: float
    rate_clock: int | None
    row_floor: int
    """What stands in the row by then. If it is another, somebody has lowered it, and it stays."""
    floor: int
    has_work: bool = True


@dataclass(slots=True)
class Settle:
    """One transaction: receipts, failures, and the lanes that go with it."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    released: list[LaneState] = field(default_factory=list)
    handed_over: list[str] = field(default_factory=list)
    """Those of them that other relays should hold."""
    fenced: dict[str, int] = field(default_factory=dict)
    """Tenant -> token of every lane the job writes for."""
    reports: list[CircuitReport] = field(default_factory=list)
    at: int = 0
    """When it was put together; microseconds since 2000-01-01 UTC, by the database's clock."""

    lost: set[str] = field(default_factory=set)
    """Filled in by the thread: lanes that were no longer ours; nothing of theirs was written."""
    seconds: float = 0.0

    @property
    def events(self) -> int:
        return sum(len(lane.ids) for lane in self.acknowledged) + len(self.failed)

    def run(self, connection: Connection, owner: uuid.UUID) -> None:
        began = time.monotonic()
        try:
            self._write(connection, owner)
        except LockNotAvailable:
            # Somebody else has locked a lane or an event, which must not keep all lanes waiting. Theirs are lost to us.
            self._write(connection, owner, patient=False)
        self.seconds = time.monotonic() - began

    def _write(self, connection: Connection, owner: uuid.UUID, *, patient: bool = True) -> None:
        with connection.transaction():
            if patient:
                self._fence(connection, owner, sql.load("fence"))
            else:
                query(connection, _WAIT_FOR_TABLES)
                self._fence(connection, owner, sql.load("fence_free"))
                self._leave_locked(connection)
            self._mark_sent(connection)
            if self.failed:
                self._record_failures(connection, owner)
            if self.released:
                released = [lane for lane in self.released if lane.tenant not in self.lost]
                query(connection, sql.load("release"), release_params(released, owner))
                self._tell_the_others(connection, owner)

    def _tell_the_others(self, connection: Connection, owner: uuid.UUID) -> None:
        handed_over = [tenant for tenant in self.handed_over if tenant not in self.lost]
        if handed_over:
            told = {"channel": wakeup.LANES_CHANNEL, "payload": f"{owner} {wakeup.compose(handed_over)}"}
            query(connection, "SELECT pg_notify(%(channel)s, %(payload)s)", told)

    def _fence(self, connection: Connection, owner: uuid.UUID, statement: LiteralString) -> None:
        params = {"tenants": list(self.fenced), "tokens": numbers(list(self.fenced.values())), "owner": owner}
        self._lose(self.fenced.keys() - {row[0] for row in query(connection, statement, params)})

    def _leave_locked(self, connection: Connection) -> None:
        of_event = {event_id: lane.tenant for lane in self.acknowledged for event_id in lane.ids}
        of_event |= {event.event_id: event.tenant for event in self.failed}
        locked = query(connection, sql.load("locked_events"), {"ids": numbers(list(of_event))})
        self._lose({of_event[event_id] for (event_id,) in locked})

    def _lose(self, tenants: set[str]) -> None:
        self.lost |= tenants
        if tenants:
            self.acknowledged = [lane for lane in self.acknowledged if lane.tenant not in tenants]
            self.failed = [event for event in self.failed if event.tenant not in tenants]

    def _mark_sent(self, connection: Connection) -> None:
        ids: list[int] = []
        partitions: list[int] = []
        offsets: list[int] = []
        for lane in self.acknowledged:
            ids += lane.ids
            partitions += lane.partitions
            offsets += lane.offsets
        if ids:
            params = {"ids": numbers(ids), "partitions": numbers(partitions), "offsets": numbers(offsets)}
            query(connection, sql.load("settle_sent"), params)

    def _record_failures(self, connection: Connection, owner: uuid.UUID) -> None:
        params = _of_failures(self.failed)
        params["delays"] = array([event.delay for event in self.failed])
        params["held"] = [event.held for event in self.failed]
        query(connection, sql.load("settle_failed"), params)
        held = [event for event in self.failed if event.held][:MOST_HELD_RECORDED]
        recorded = [event for event in self.failed if not event.held] + held
        params = _of_failures(recorded) | {"codes": numbers([event.code for event in recorded]), "owner": owner}
        query(connection, sql.load("record_attempts"), params)


def _of_failures(failed: list[Failed]) -> dict[str, Any]:
    return {
        "ids": numbers([event.event_id for event in failed]),
        "classes": [event.error_class for event in failed],
        "messages": [event.message for event in failed],
    }


@dataclass(slots=True)
class Renew:
    """Renews leases and reads what others decided meanwhile."""

    lanes: list[LaneState]
    lease: float
    asked_at: float
    """Monotonic, from before the statement: the lease is counted from here."""
    block_changes: dict[str, int]
    rows: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    fleet: tuple[Any, ...] = ()

    def run(self, connection: Connection, owner: uuid.UUID) -> None:
        # In the order of their names: promote.sql locks lanes so as well, and nobody must wait in a circle.
        lanes = sorted(self.lanes, key=lambda lane: lane.tenant)
        try:
            with connection.transaction():
                self._renew(connection, lanes, owner)
        except LockNotAvailable:
            with connection.transaction():
                query(connection, _WAIT_FOR_TABLES)
                free = {row[0] for row in query(connection, sql.load("fence_free"), release_params(lanes, owner))}
                self._renew(connection, [lane for lane in lanes if lane.tenant in free], owner)
        self.fleet = query(connection, sql.load("fleet"), {"owner": owner})[0]

    def _renew(self, connection: Connection, lanes: list[LaneState], owner: uuid.UUID) -> None:
        params = release_params(lanes, owner) | {"lease": self.lease}
        self.rows = {row[0]: row for row in query(connection, sql.load("renew"), params)}


def release_params(lanes: list[LaneState], owner: uuid.UUID) -> dict[str, Any]:
    return {
        "owner": owner,
        "tenants": [lane.tenant for lane in lanes],
        "tokens": numbers([lane.token for lane in lanes]),
        "virtual_times": array([lane.virtual_time for lane in lanes]),
        "rate_clocks": array([lane.rate_clock for lane in lanes]),
        "seen": numbers([lane.row_floor for lane in lanes]),
        "floors": numbers([lane.floor for lane in lanes]),
        "has_work": [lane.has_work for lane in lanes],
    }


Job = Settle | Renew


class Settler:
    """Runs jobs in the order given. A failed one ends the thread and is handed back as the error.

    `judge` sees a settle before it is written, `tell` what it says of circuits once it is committed.
    """

    def __init__(
        self,
        *,
        owner: uuid.UUID,
        wake: Callable[[], None],
        judge: Callable[[Connection, Settle], None] = lambda connection, job: None,
        tell: Callable[[list[CircuitReport]], None] = lambda reports: None,
    ) -> None:
        self._owner = owner
        self._wake = wake
        self._judge = judge
        self._tell = tell
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._done: deque[Job | BaseException] = deque()
        self._thread = threading.Thread(target=self._work, name="outbox-settle", daemon=True)
        self._connection = connect("settle", lock_seconds=LOCK_SECONDS)
        self._thread.start()

    def submit(self, job: Job) -> None:
        self._jobs.put(job)

    def finished(self) -> list[Job]:
        """Jobs done since the last call. Raises the error of the one that failed."""
        jobs: list[Job] = []
        while self._done:
            done = self._done.popleft()
            if isinstance(done, BaseException):
                raise done
            jobs.append(done)
        return jobs

    def close(self) -> None:
        """Ends the thread once its jobs are done."""
        self._jobs.put(None)
        self._thread.join(timeout=10)
        self._connection.close()

    def abandon(self) -> None:
        """Ends the thread, whatever it is at."""
        self._jobs.put(None)
        cut_off(self._connection, self._thread)

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                self._do(job)
                self._done.append(job)
                self._wake()
        except BaseException as error:  # handed to the relay's thread, which logs and starts anew
            self._done.append(error)
            self._wake()

    def _do(self, job: Job) -> None:
        if isinstance(job, Settle) and job.failed:
            self._judge(self._connection, job)
        job.run(self._connection, self._owner)
        if isinstance(job, Settle) and job.reports:
            self._tell(job.reports)
