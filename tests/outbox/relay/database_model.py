"""One lane in PostgreSQL, as a relay's statements see it: transactions, their events, and the lane's row.

Every statement sees what has been committed when it begins. `created_at` is taken when an event is inserted, at most a
second before its transaction gets an id, unless the statement waits for a lock meanwhile. An application that
serialises the transactions of a key has one of each open at a time; nobody serialises those of the key `LOOSE`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from outbox import sql
from outbox.relay.lanes import Row
from outbox.relay.late import Writer

SECOND_US = 1_000_000
START = 1_000 * SECOND_US
TENANT = "acme"
LOOSE = "loose"
KEYS = ("a", "b", "c", LOOSE)


@dataclass
class Event:
    id: int
    key: str
    created: int
    status: str = "pending"
    attempts: int = 0

    @property
    def place(self) -> tuple[int, int]:
        return self.created, self.id

    def row(self, *, waits: bool = False) -> Row:
        attempts = -1 if waits else self.attempts
        return (1, self.id, "news", f"dedupe-{self.id}", self.key, "{}", self.created, attempts, None, 2)


@dataclass
class Transaction:
    number: int
    session: int
    key: str
    began: int
    asked: int
    """When the statement began that it runs now, or ran when it got its id."""
    has_id_at: int | None = None
    waits_for_lock: bool = False
    prepared: bool = False
    events: list[Event] = field(default_factory=list)


@dataclass
class LaneRow:
    owner: Any = None
    token: int = 0
    floor: int | None = None


class Database:
    """`before_each` runs before every statement: others go on meanwhile."""

    def __init__(self, before_each: Callable[[], object]) -> None:
        self.clock = START
        self.open: list[Transaction] = []
        self.visible: dict[int, Event] = {}
        self.lane = LaneRow()
        self._before_each = before_each
        self._numbers = itertools.count(1)
        self._ending: dict[int, Writer] = {}
        self._statements: dict[str, Callable[[Mapping[str, Any]], list[Any]]] = {
            sql.load(name): getattr(self, f"_{name}")
            for name in (
                *("writers", "look_behind", "fetch_late", "fetch", "fetch_careful", "floors"),
                *("claim", "fleet", "renew", "release", "fence", "settle_sent", "settle_failed", "record_attempts"),
            )
        }

    # what applications do

    def begin(self, key: str, *, reads: bool = False, takes: int = 0, lock_takes: int = 0) -> Transaction | None:
        """Inserts its first event, unless it only reads; None while the key is in use.

        `takes`: from the statement's start to `created_at`, and again to the transaction's id.
        """
        if key != LOOSE and any(each.key == key for each in self.open):
            return None
        session = next(n for n in itertools.count(1) if all(each.session != n or each.prepared for each in self.open))
        begun = Transaction(next(self._numbers), session, key, began=self.clock, asked=self.clock)
        self.open.append(begun)
        self._ending.pop(session, None)
        if not reads:
            self.clock += takes
            self._insert(begun)
            begun.waits_for_lock = lock_takes > 0
            begun.has_id_at = self.clock + (lock_takes or min(takes, SECOND_US))
        return begun

    def insert_more(self, into: Transaction) -> None:
        if not into.prepared:
            self._finish_statement(into)
            self._insert(into)
            into.has_id_at = into.has_id_at or self.clock

    def prepare(self, transaction: Transaction) -> None:
        self._finish_statement(transaction)
        transaction.prepared = transaction.has_id_at is not None

    def commit(self, transaction: Transaction) -> None:
        self.roll_back(transaction)
        self.visible |= {event.id: event for event in transaction.events}

    def roll_back(self, transaction: Transaction) -> None:
        self._finish_statement(transaction)
        self.open.remove(transaction)
        # The session still shows a statement for a moment.
        if not transaction.prepared:
            self._ending[transaction.session] = (f"~{transaction.session}", self.clock, False)

    def let_time_pass(self, microseconds: int) -> None:
        self.clock += microseconds
        self._ending.clear()

    def _finish_statement(self, of: Transaction) -> None:
        self.clock = max(self.clock, of.has_id_at or 0)

    def _insert(self, into: Transaction) -> None:
        into.events.append(Event(next(self._numbers), into.key, self.clock))

    # what relays beside this one do

    def promote(self, events: list[Event]) -> int | None:
        """They are due. When the oldest of them was created."""
        if not events:
            return None
        for event in events:
            event.status = "pending"
        oldest = min(event.created for event in events)
        if self.lane.floor is not None:
            self.lane.floor = min(self.lane.floor, oldest) - 1
        return oldest

    # what can be seen

    def with_status(self, status: str) -> list[Event]:
        return sorted((event for event in self.visible.values() if event.status == status), key=lambda e: e.place)

    def waits(self, event: Event) -> bool:
        """Whether an earlier event of its key waits for its next attempt."""
        return any(
            retry.attempts and retry.key == event.key and retry.place < event.place
            for retry in self.with_status("scheduled")
        )

    # the statements

    def query(self, connection: object, statement: str, params: Mapping[str, Any] | None = None) -> list[Any]:
        if statement.startswith("INSERT INTO outbox_lanes"):
            return []
        self._before_each()
        return self._statements[statement](params or {})

    def transaction(self) -> nullcontext[None]:
        return nullcontext()

    def close(self) -> None:
        """Sessions have nothing of their own."""

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """So that several statements are one step."""
        before, self._before_each = self._before_each, bool
        try:
            yield
        finally:
            self._before_each = before

    def _writers(self, params: Mapping[str, Any]) -> list[Writer]:
        return [("", self.clock, False), *(self._writer(each) for each in self.open), *self._ending.values()]

    def _writer(self, each: Transaction) -> Writer:
        if each.prepared:
            return (f"prepared/{each.number}", None, False)
        if each.has_id_at is not None and each.has_id_at <= self.clock:
            return (f"{each.session}/{each.number}", each.began, False)
        since = each.asked if each.waits_for_lock else max(each.asked, self.clock - SECOND_US)
        return (f"~{each.session}", since, False)

    def _look_behind(self, params: Mapping[str, Any]) -> list[tuple[int, int]]:
        (since,), (upto,), (upto_id,) = (numbers(params[name]) for name in ("since_us", "upto_us", "upto_id"))
        (careful,) = params["careful"]
        found = [e for e in self.with_status("pending") if e.created >= since and e.place <= (upto, upto_id)]
        return [(1, event.id) for event in found if not (careful and self.waits(event))]

    def _fetch_late(self, params: Mapping[str, Any]) -> list[Row]:
        ids = numbers(params["ids"])
        return [(TENANT, *event.row()[1:]) for event in self.with_status("pending") if event.id in ids]

    def _fetch(self, params: Mapping[str, Any], *, careful: bool = False) -> list[Row]:
        (after,), (after_id,), (quota,) = (numbers(params[name]) for name in ("after_us", "after_id", "quotas"))
        ahead = [event for event in self.with_status("pending") if event.place > (after, after_id)]
        return [event.row(waits=careful and self.waits(event)) for event in ahead[:quota]]

    def _fetch_careful(self, params: Mapping[str, Any]) -> list[Row]:
        return self._fetch(params, careful=True)

    def _floors(self, params: Mapping[str, Any]) -> list[tuple[str, int | None]]:
        return [(TENANT, self.lane.floor)]

    def _claim(self, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        if self.lane.owner is not None:
            return []
        self.lane = LaneRow(owner=params["owner"], token=self.lane.token + 1, floor=self.lane.floor or 0)
        quota = (None, 1, 3)[self.lane.token % 3]
        circuit, had_work = (0, False, False), False
        policy = (1.0, None, quota, None)
        return [(TENANT, self.lane.token, 0.0, *policy, self.lane.floor, self._blocked(), *circuit, had_work)]

    def _blocked(self) -> bool:
        return any(event.attempts for event in self.with_status("scheduled"))

    def _fleet(self, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return [(int(self.lane.owner is not None), 0, 0, 0.0, 0.0, 1, 0, None, None, None)]

    def _renew(self, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        if not self._take_floor(params):
            return []
        circuit = (0, False, False, True)
        return [(TENANT, self.lane.token, self.lane.floor, 1.0, None, None, False, self._blocked(), *circuit)]

    def _release(self, params: Mapping[str, Any]) -> list[Any]:
        if self._take_floor(params):
            self.lane = replace(self.lane, owner=None)
        return []

    def _take_floor(self, params: Mapping[str, Any]) -> bool:
        if TENANT not in params["tenants"] or not self._holds(params):
            return False
        (seen,), (floor,) = numbers(params["seen"]), numbers(params["floors"])
        if self.lane.floor == seen:
            self.lane.floor = floor
        return True

    def _fence(self, params: Mapping[str, Any]) -> list[tuple[str]]:
        return [(TENANT,)] if self._holds(params) else []

    def _holds(self, params: Mapping[str, Any]) -> bool:
        return bool(self.lane.owner == params["owner"] and [self.lane.token] == numbers(params["tokens"]))

    def _settle_sent(self, params: Mapping[str, Any]) -> list[Any]:
        for event_id in numbers(params["ids"]):
            self.visible[event_id].status = "sent"
        return []

    def _settle_failed(self, params: Mapping[str, Any]) -> list[Any]:
        delays = params["delays"].strip("{}").split(",")
        for event_id, delay in zip(numbers(params["ids"]), delays, strict=True):
            event = self.visible[event_id]
            assert event.status == "pending"
            event.status = "failed" if delay == "NULL" else "scheduled"
            event.attempts += 1
        return []

    def _record_attempts(self, params: Mapping[str, Any]) -> list[Any]:
        return []


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.strip("{}").split(",") if part]
