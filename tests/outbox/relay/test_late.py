"""Late commits: the rules as a model, then with real transactions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.relay.fetch import fetch
from outbox.relay.lanes import CREATED, ID, PARTITION_KEY, Lane, Row
from outbox.relay.late import BLIND_US, LookedBehind, Lookout, Sample, Writer, sample
from outbox.relay.session import Connection
from tests.outbox.relay.conftest import Tables, another_session, insert_event, lane

SECOND_US = 1_000_000
T = 1_000 * SECOND_US


def seen(*writers: Writer, db_now: int, before: Sample | None = None) -> Sample:
    return sample([("", db_now, False), *writers], at=0.0, before=before)


def test_what_begins_and_ends_between_two_samples_was_created_after_the_first() -> None:
    first = seen(db_now=T)
    assert seen(db_now=T + SECOND_US, before=first).look_from(first) == T


def test_a_transaction_that_stays_open_costs_nothing_until_it_ends() -> None:
    first = now = seen(("7/1", T, False), db_now=T + 1)
    for second in range(1, 300):
        before, now = now, seen(("7/1", T, False), db_now=T + second * SECOND_US, before=now)
        assert now.look_from(before) == before.db_now
        assert now.safe == T
    end = seen(db_now=T + 300 * SECOND_US, before=now)
    assert end.look_from(now) == end.look_from(first) == T
    assert end.safe == end.db_now


def test_who_was_no_writer_at_the_sample_before_has_created_nothing_by_then() -> None:
    first = seen(db_now=T)
    second = seen(("7/1", T - 60 * SECOND_US, False), db_now=T + SECOND_US, before=first)
    assert second.safe == T


def test_a_statement_without_a_transaction_id_is_looked_for_though_it_seems_to_run() -> None:
    """It may have committed in one go, and be shown as active a moment longer."""
    first = seen(("~7", T - 5, False), db_now=T)
    second = seen(("~7", T - 5, False), db_now=T + SECOND_US, before=first)
    assert second.look_from(first) == T - 5


def test_a_statement_that_has_got_a_transaction_id_created_its_event_before_that() -> None:
    first = seen(("~7", T - 5, False), db_now=T)
    second = seen(("7/1", T - 60 * SECOND_US, False), db_now=T + SECOND_US, before=first)
    assert second.safe == T - 5
    third = seen(("~7", T - 5, False), db_now=T + 2 * SECOND_US, before=second)
    assert third.look_from(second) == T - 5


def test_a_prepared_transaction_may_have_begun_at_any_time() -> None:
    assert seen(("prepared/x", None, False), db_now=T).safe == 0


def test_a_blind_look_goes_far_back_and_makes_nothing_safe() -> None:
    first = seen(db_now=T)
    second = seen(("hidden", None, True), db_now=T + SECOND_US, before=first)
    assert (second.safe, second.look_from(first)) == (0, T - BLIND_US)


# A model: an application that serialises the transactions of a key, and a holder whose steps they come between


@dataclass
class Transaction:
    key: str
    started: int
    created: int


class World(Lookout):
    """The database, the application and the holder of a lane; the rules under test are the Lookout's own."""

    def __init__(self) -> None:
        self.clock = T
        self.numbers = itertools.count(1)
        self.open: dict[int, Transaction] = {}
        self.events: dict[int, Transaction] = {}
        self.visible: set[int] = set()
        self.sent: list[int] = []
        self.lane: Lane = lane(floor=0)
        self.fetched: list[Row] | None = None
        self.latest = self._take(None)
        self.lane.has_looked(self.latest)

    # the application

    def time_passes(self, number: int) -> None:
        self.clock += (0, 1, 1_000, SECOND_US)[number % 4]

    def begin(self, number: int) -> None:
        """Takes the key's lock, and creates its event a moment later. Whoever finds the lock taken, waits."""
        key = f"key-{number % 3}"
        if all(each.key != key for each in self.open.values()):
            started = self.clock
            self.clock += number % 2_000
            event_id = next(self.numbers)
            self.open[event_id] = self.events[event_id] = Transaction(key, started, self.clock)
            self.clock += 1

    def commit(self, number: int) -> None:
        if self.open:
            event_id = list(self.open)[number % len(self.open)]
            del self.open[event_id]
            self.visible.add(event_id)

    # the holder

    def fetch(self, number: int) -> None:
        if self.fetched is None:
            past = (self.lane.cursor, self.lane.cursor_id)
            rows = sorted((self.row(event_id) for event_id in self.visible - set(self.sent)), key=self.place)
            self.fetched = [row for row in rows if self.place(row) > past][: 1 + number % 3]

    def produce(self, number: int) -> None:
        if self.fetched is not None:
            (batch,) = self.add_late([(self.lane, self.fetched)])
            self.take(batch)
            self.fetched = None

    def take(self, batch: LookedBehind) -> None:
        if batch.sample is not None:
            self.lane.has_looked(batch.sample)
        for row in batch.rows:
            self.lane.cursor, self.lane.cursor_id = self.place(row)
        self.sent += [row[ID] for row in (*batch.behind, *batch.rows)]

    def hand_over(self, number: int) -> None:
        """Everything is settled, and another relay goes on where the row says."""
        if self.fetched is None:
            floor = self.lane.floor_once_settled_to(self.lane.cursor)
            self.lane = lane(floor=floor)
            self.latest = self._take(None)
            self.lane.has_looked(self.latest)
            self.lane.chunks = [[self.row(event_id) for event_id in self.sent]]

    # what PostgreSQL would say

    @staticmethod
    def place(row: Row) -> tuple[int, int]:
        return row[CREATED], row[ID]

    def row(self, event_id: int) -> Row:
        event = self.events[event_id]
        return (1, event_id, "news", "", event.key, "{}", event.created, 0, None, 2)

    def _take(self, before: Sample | None) -> Sample:
        writers = [(f"{number}", each.started, False) for number, each in self.open.items()]
        return seen(*writers, db_now=self.clock, before=before)

    def _look(self, suspects: list[tuple[Lane, list[Row], int]]) -> dict[str, list[Row]]:
        ((held, rows, since),) = suspects
        upto = self.place(rows[-1]) if rows else (held.cursor, held.cursor_id)
        there = [self.row(event_id) for event_id in self.visible - set(self.sent) - {row[ID] for row in rows}]
        late = sorted((row for row in there if since <= row[CREATED] and self.place(row) <= upto), key=self.place)
        return {held.tenant: late} if late else {}


STEPS = [World.time_passes, World.begin, World.begin, World.commit, World.fetch, World.fetch, World.produce]


@given(st.lists(st.tuples(st.sampled_from([*STEPS, *STEPS, World.hand_over]), st.integers(0, 5_999)), max_size=80))
@settings(max_examples=300)
def test_every_event_is_sent_once_and_no_key_is_overtaken(
    steps: list[tuple[Callable[[World, int], None], int]],
) -> None:
    world = World()
    for step, number in steps:
        step(world, number)
    while world.open:
        world.commit(0)
    for _ in range(len(world.visible) + 2):
        world.produce(0)
        world.fetch(2)
        world.produce(0)
    for key in {each.key for each in world.events.values()}:
        of_key = [event_id for event_id in world.sent if world.events[event_id].key == key]
        assert of_key == [event_id for event_id, each in world.events.items() if each.key == key]


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
