"""Late commits: the rules one by one, a model of transactions and holders, and real transactions."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from outbox import sql
from outbox.relay import late
from outbox.relay.fetch import fetch
from outbox.relay.lanes import CREATED, ID, PARTITION_KEY, PAYLOAD, Lane, Row
from outbox.relay.late import LookedBehind, Lookout, Sample, Writer, sample
from outbox.relay.session import Connection, connect
from tests.outbox.relay.conftest import Tables, another_session, insert_event, lane
from tests.support.sessions import wait_until_somebody_waits_for_a_lock

SECOND_US = 1_000_000
T = 1_000 * SECOND_US


def at(db_now: int, *writers: Writer, before: Sample | None = None) -> Sample:
    return sample([("", db_now, False), *writers], at=0.0, before=before)


def writing(session: int, since: int) -> Writer:
    return (f"{session}/9{session}", since, False)


def about_to(session: int, since: int) -> Writer:
    """A statement that runs and has no transaction id yet."""
    return (f"~{session}", since, False)


PREPARED: Writer = ("prepared/x", None, False)
HIDDEN: Writer = ("hidden", None, True)


# Samples


def test_without_writers_whatever_was_created_before_now_is_visible() -> None:
    assert at(T).safe == T


def test_an_open_transaction_may_still_show_what_it_created_since_it_began() -> None:
    assert at(T, writing(1, T - 60 * SECOND_US), writing(2, T - SECOND_US)).safe == T - 60 * SECOND_US


def test_what_begins_and_ends_between_two_samples_was_created_after_the_first() -> None:
    assert at(T + SECOND_US).look_from(at(T)) == T


def test_a_transaction_that_stays_open_costs_nothing_until_it_ends() -> None:
    before = at(T, writing(1, T - 5))
    for second in range(1, 300):
        now = at(T + second * SECOND_US, writing(1, T - 5), before=before)
        assert now.look_from(before) == before.db_now
        before = now
    assert at(T + 300 * SECOND_US, before=before).look_from(before) == T - 5


def test_a_transaction_that_had_written_nothing_until_now_began_to_write_since() -> None:
    """A report that reads for an hour and then writes one row makes nobody look back for an hour."""
    before = at(T)
    assert at(T + SECOND_US, writing(1, T - 3_600 * SECOND_US), before=before).safe == T


def test_a_statement_that_only_reads_holds_no_floor_back() -> None:
    before = at(T, about_to(3, T - SECOND_US))
    for second in range(1, 300):
        now = at(T + second * SECOND_US, about_to(3, T + (second - 1) * SECOND_US), before=before)
        assert now.safe == now.db_now - SECOND_US
        before = now
    assert at(T + 300 * SECOND_US, before=before).look_from(before) >= T + 298 * SECOND_US


def test_a_statement_that_seems_to_run_may_have_committed() -> None:
    """It is shown as active a moment longer than its transaction lives."""
    before = at(T, about_to(1, T - 5))
    assert at(T + SECOND_US, about_to(1, T - 5), before=before).look_from(before) == T - 5


def test_a_transaction_ends_when_its_id_does_though_its_session_goes_on() -> None:
    before = at(T, writing(1, T - 5))
    assert at(T + SECOND_US, about_to(1, T), before=before).look_from(before) == T - 5


def test_what_a_statement_created_before_it_got_its_id_is_not_forgotten() -> None:
    before = at(T, about_to(1, T - 9))
    now = at(T + SECOND_US, writing(1, T - 100 * SECOND_US), before=before)
    assert now.safe == T - 9
    assert at(T + 2 * SECOND_US, before=now).look_from(now) == T - 9


def test_a_prepared_transaction_began_when_a_session_of_before_did() -> None:
    before = at(T, writing(1, T - 7), writing(2, T - 5))
    now = at(T + SECOND_US, writing(2, T - 5), PREPARED, before=before)
    assert now.safe == T - 7
    later = at(T + 2 * SECOND_US, PREPARED, before=now)
    assert later.safe == T - 7
    assert at(T + 3 * SECOND_US, before=later).look_from(later) == T - 7


def test_a_prepared_transaction_from_before_the_relay_may_have_begun_at_any_time() -> None:
    assert at(T, PREPARED).safe == 0


def test_where_sessions_are_hidden_nothing_is_safe() -> None:
    before = at(T, HIDDEN)
    assert (before.blind, before.safe) == (True, 0)
    assert at(T + SECOND_US, HIDDEN, before=before).look_from(before) == T - late.BLIND_US


def test_times_near_the_epoch_are_no_trouble() -> None:
    assert at(5, HIDDEN).look_from(at(0)) == 0


def test_where_sessions_are_hidden_lanes_are_read_from_their_beginning_on_a_slow_rhythm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lookout = blind(monkeypatch, HIDDEN)
    began = lookout.latest.at
    looks = [lookout.must_read_all(began + second) for second in range(int(3.5 * late.BLIND_SECONDS))]
    assert sum(looks) == 3
    assert not any(looks[: int(late.BLIND_SECONDS)])
    assert not blind(monkeypatch).must_read_all(began + 99.0)


def blind(monkeypatch: pytest.MonkeyPatch, *writers: Writer) -> Lookout:
    monkeypatch.setattr(late, "query", lambda connection, statement: [("", T, False), *writers])
    return Lookout(None)  # type: ignore[arg-type]


# A model: transactions as PostgreSQL has them, writers that serialise each key, lanes that change hands


@dataclass
class Transaction:
    number: int
    key: str
    started: int
    created: list[int] = field(default_factory=list)
    xid_at: int = 0
    prepared: bool = False


class World:
    """What is committed, what is published, and the holder of one lane. Every step takes a number that it may use."""

    lane: Lane
    fetched: list[Row] | None
    unsettled: set[int]

    def __init__(self) -> None:
        self.clock = T
        self.numbers = itertools.count(1)
        self.open: list[Transaction] = []
        self.visible: dict[int, Row] = {}
        self.sent: set[int] = set()
        self.deliveries: list[Row] = []
        self.committed: list[int] = []
        self.claim(floor=0)

    # transactions

    def time_passes(self, number: int) -> None:
        self.clock += (1, 300_000, SECOND_US, 3 * SECOND_US)[number % 4]

    def insert_alone(self, number: int) -> None:
        self.begin(number, wait=0, gap=0)
        if self.open:
            self._end(self.open[-1])

    def begin(self, number: int, *, wait: int | None = None, gap: int | None = None) -> None:
        """`created_at` is taken up to a second before the transaction id; a key has one writer at a time."""
        key = "abc"[number % 3]
        if any(each.key == key for each in self.open):
            return
        transaction = Transaction(next(self.numbers), key, self.clock)
        self.clock += number % 5 * SECOND_US // 2 if wait is None else wait
        transaction.created = [self.clock]
        transaction.xid_at = self.clock + (number % SECOND_US if gap is None else gap)
        self.open.append(transaction)

    def insert_more(self, number: int) -> None:
        for transaction in self._one(number):
            if not transaction.prepared:
                self.clock = max(self.clock, transaction.xid_at)
                transaction.created.append(self.clock)

    def prepare(self, number: int) -> None:
        for transaction in self._one(number):
            self.clock = max(self.clock, transaction.xid_at)
            transaction.prepared = True

    def commit(self, number: int) -> None:
        for transaction in self._one(number):
            self._end(transaction)

    def _end(self, transaction: Transaction) -> None:
        self.open.remove(transaction)
        self.clock = max(self.clock, transaction.xid_at)
        for created in transaction.created:
            event_id = next(self.numbers)
            self.visible[event_id] = (0, event_id, "news", "", transaction.key, "", created, 0, None, 0)
            self.committed.append(event_id)

    def _one(self, number: int) -> list[Transaction]:
        return [self.open[number % len(self.open)]] if self.open else []

    # the database, as the holder asks it

    def query(self, connection: object, statement: Any, params: Any = None) -> list[tuple[Any, ...]]:
        if statement == sql.load("writers"):
            return [("", self.clock, False), *(self._writer(each) for each in self.open)]
        if statement == sql.load("look_behind"):
            since, upto, upto_id = (numbers(params[name])[0] for name in ("since_us", "upto_us", "upto_id"))
            found = [row for row in self.pending() if since <= row[CREATED] and place(row) <= (upto, upto_id)]
            return [(1, row[ID]) for row in found]
        assert statement == sql.load("fetch_late")
        return [("acme", *self.visible[event_id][1:]) for event_id in numbers(params["ids"])]

    def _writer(self, each: Transaction) -> Writer:
        if each.prepared:
            return (f"prepared/{each.number}", None, False)
        if each.xid_at <= self.clock:
            return (f"{each.number}/9", each.started, False)
        return (f"~{each.number}", max(each.started, self.clock - SECOND_US), False)

    def pending(self) -> list[Row]:
        return sorted((row for event_id, row in self.visible.items() if event_id not in self.sent), key=place)

    # the holder

    def fetch(self, number: int) -> None:
        if self.fetched is not None or self.unsettled:
            return
        self.lane.apply_rewind()
        if self.lane.looked is None:
            self.lane.has_looked(self.lookout.latest)
        ahead = [row for row in self.pending() if place(row) > (self.lane.cursor, self.lane.cursor_id)]
        self.fetched = ahead[: 1 + number % 4]

    def produce(self, number: int) -> None:
        if self.fetched is None:
            return
        (batch,) = self.lookout.add_late([(self.lane, self.fetched)])
        self.fetched = None
        for row in (*batch.behind, *batch.rows):
            self.deliveries.append(row)
            self.unsettled.add(row[ID])
        if batch.behind:
            self.lane.chunks.append(batch.behind)
            self.lane.settled_to = min(self.lane.settled_to, batch.behind[0][CREATED])
        if batch.sample is not None:
            self.lane.has_looked(batch.sample)
        if batch.rows:
            self.lane.chunks.append(batch.rows)
            self.lane.cursor, self.lane.cursor_id = place(batch.rows[-1])

    def settle(self, number: int) -> None:
        self.lane.begin_settle()
        self.sent |= self.unsettled
        self.unsettled.clear()
        self.lane.end_settle()

    def refresh(self, number: int) -> None:
        self.lookout.latest = self.lookout._take(self.lookout.latest)

    def release(self, number: int) -> None:
        """Another relay, with samples of its own, goes on where the row says."""
        if self.fetched is None:
            self.settle(number)
            self.claim(floor=self.lane.floor)

    def die(self, number: int) -> None:
        """What was not settled is pending again."""
        self.claim(floor=self.lane.floor)

    def claim(self, *, floor: int) -> None:
        self.lane = lane(floor=floor)
        self.fetched = None
        self.unsettled = set()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(late, "query", self.query)
            self.lookout = Lookout(None)  # type: ignore[arg-type]

    # what must hold

    def a_next_holder_would_miss_nothing(self) -> bool:
        waiting = [row[CREATED] for row in self.pending()]
        waiting += [created for each in self.open for created in each.created]
        return all(created >= self.lane.floor for created in waiting)

    def no_key_was_overtaken(self) -> bool:
        first = dict.fromkeys(row[ID] for row in self.deliveries)
        order = [self.visible[event_id][PARTITION_KEY] for event_id in first]
        keys = {key: [event_id for event_id, of in zip(first, order, strict=True) if of == key] for key in set(order)}
        return all(ids == sorted(ids) for ids in keys.values())

    def end(self) -> None:
        while self.open:
            self._end(self.open[0])
        for _ in range(2 * len(self.visible) + 3):
            self.produce(0)
            self.settle(0)
            self.fetch(3)
        assert self.sent == set(self.visible), "an event stays behind"


def place(row: Row) -> tuple[int, int]:
    return row[CREATED], row[ID]


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.strip("{}").split(",") if part]


STEPS = {
    World.time_passes: 4,
    World.insert_alone: 5,
    World.begin: 4,
    World.insert_more: 1,
    World.prepare: 1,
    World.commit: 4,
    World.fetch: 5,
    World.produce: 5,
    World.settle: 5,
    World.refresh: 1,
    World.release: 1,
    World.die: 1,
}
OFTEN = [step for step, times in STEPS.items() for _ in range(times)]


# Real transactions


def keys(rows: list[Row]) -> list[str]:
    return [row[PARTITION_KEY] for row in rows]


def test_an_event_that_commits_late_goes_before_what_was_fetched(tables: Tables, session: Connection) -> None:
    lookout = Lookout(session)
    held = lane(tenant="acme")
    held.has_looked(lookout.latest)
    with another_session() as writer, writer.transaction():
        insert_event(writer, "acme", "news", "late", {})
        lookout.refresh(float("inf"))
        held.has_looked(lookout.latest)
        tables.add("ahead")
        (rows,) = (rows for _, rows in fetch(session, [held], [10]))
        (batch,) = lookout.add_late([(held, rows)])
        assert (keys(batch.behind), keys(batch.rows)) == ([], ["ahead"])
        held.has_looked(lookout.latest)
        held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
        held.chunks.append(rows)
    (batch,) = lookout.add_late([(held, [])])
    assert keys(batch.behind) == ["late"]
    assert batch.sample is lookout.latest


def test_an_event_that_commits_after_the_fetch_takes_its_place_among_the_rows(
    tables: Tables, session: Connection
) -> None:
    lookout = Lookout(session)
    held = lane(tenant="acme")
    held.has_looked(lookout.latest)
    tables.add("first")
    with another_session() as writer, writer.transaction():
        insert_event(writer, "acme", "news", "late", {})
        tables.add("last")
        (rows,) = (rows for _, rows in fetch(session, [held], [10]))
    (batch,) = lookout.add_late([(held, rows)])
    assert (keys(batch.behind), keys(batch.rows)) == ([], ["first", "late", "last"])


def test_a_backlog_is_read_without_a_look(session: Connection) -> None:
    lookout = Lookout(session)
    held = lane(tenant="acme")
    before = lookout.latest
    held.has_looked(before)
    old: Row = (1, 7, "news", "", "", "{}", 1, 0, None, 2)
    assert lookout.add_late([(held, [old])]) == [LookedBehind(held, [], [old], None)]
    assert lookout.latest is before


def test_a_transaction_is_a_writer_from_its_first_row_to_its_end(tables: Tables, session: Connection) -> None:
    lookout = Lookout(session)
    with another_session() as writer, writer.transaction():
        before = writer.execute("SELECT clock_timestamp()").fetchone()
        lookout.refresh(float("inf"))
        assert lookout.latest.writers == {}
        insert_event(writer, "acme", "news", "k", {})
        lookout.refresh(float("inf"))
        (since,) = lookout.latest.writers.values()
        assert before is not None
        assert microseconds(before[0]) <= lookout.latest.safe == since <= microseconds(before[0]) + 60 * SECOND_US
    lookout.refresh(float("inf"))
    assert lookout.latest.writers == {}


def test_a_savepoint_does_not_hide_its_transaction(tables: Tables, session: Connection) -> None:
    lookout = Lookout(session)
    with another_session() as writer, writer.transaction(), writer.transaction():
        insert_event(writer, "acme", "news", "k", {})
        lookout.refresh(float("inf"))
        assert len(lookout.latest.writers) == 1


def test_relays_themselves_are_no_writers(tables: Tables, session: Connection) -> None:
    lookout = Lookout(session)
    with connect("settle") as settler, settler.transaction():
        settler.execute("INSERT INTO outbox_lanes (tenant_id) VALUES ('acme')")
        lookout.refresh(float("inf"))
        assert lookout.latest.writers == {}


def test_an_event_that_waited_for_a_duplicate_is_found(tables: Tables, session: Connection) -> None:
    """ON CONFLICT waits for the other transaction after `created_at` was taken and before it gets an id of its own."""
    lookout, held = Lookout(session), lane()
    held.has_looked(lookout.latest)
    with another_session() as first, another_session() as second, ThreadPoolExecutor(1) as thread:
        first.execute("BEGIN")
        insert_event(first, "acme", "news", "k", {"dedupe_key": "same"})
        statement = (
            "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload) VALUES ('acme', 'news', 'same', '{}')"
            " ON CONFLICT (tenant_id, dedupe_key) DO NOTHING"
        )
        second.execute("BEGIN")
        waiting = thread.submit(second.execute, statement)
        wait_until_somebody_waits_for_a_lock()
        tables.execute("SELECT pg_sleep(1.1)")
        tables.add("ahead")
        (rows,) = (rows for _, rows in fetch(session, [held], [10]))
        lookout.add_late([(held, rows)])
        held.has_looked(lookout.latest)
        held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
        held.chunks.append(rows)
        first.execute("ROLLBACK")
        waiting.result(30)
        look_behind(lookout, held)
        second.execute("COMMIT")
    assert len(look_behind(lookout, held)) == 1


def look_behind(lookout: Lookout, held: Lane) -> list[Row]:
    (batch,) = lookout.add_late([(held, [])])
    assert batch.sample is not None
    held.has_looked(batch.sample)
    return batch.behind


def test_too_many_late_events_are_read_again_in_order(
    tables: Tables, session: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late, "MOST_BEHIND", 3)
    lookout, held = Lookout(session), lane()
    with another_session() as writer, writer.transaction():
        for key in "abcde":
            insert_event(writer, "acme", "news", key, {})
        lookout.refresh(float("inf"))
        held.has_looked(lookout.latest)
        tables.add("ahead")
        (rows,) = (rows for _, rows in fetch(session, [held], [10]))
        held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
        held.chunks.append(rows)
    since = lookout.latest.safe
    lookout.add_late([(held, [])])
    assert held.rewind_to == since


def test_a_late_event_whose_key_waits_for_a_retry_is_left_alone(tables: Tables, session: Connection) -> None:
    tables.add("k", status="scheduled", attempts=1, available_at="2100-01-01")
    lookout, held = Lookout(session), lane(blocked=True)
    held.has_looked(lookout.latest)
    tables.add("k", "free")
    held.cursor = 2**62
    (batch,) = lookout.add_late([(held, [])])
    assert keys(batch.behind) == ["free"]


def test_a_late_large_event_comes_without_its_payload(tables: Tables, session: Connection) -> None:
    lookout, held = Lookout(session), lane(cursor=2**62)
    held.has_looked(lookout.latest)
    tables.add("small")
    tables.add("large", payload="x" * 20_000)
    (batch,) = lookout.add_late([(held, [])])
    assert [row[PAYLOAD] is None for row in batch.behind] == [False, True]


def microseconds(moment: datetime) -> int:
    return round((moment.timestamp() - 946_684_800) * 1e6)
