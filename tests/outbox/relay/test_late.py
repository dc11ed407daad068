"""Late commits: the rules as a model, then with real transactions."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.relay.lanes import Lane
from outbox.relay.late import BLIND_LOOK_SECONDS, SLACK_US, Sample, Sampler
from outbox.relay.steering import Steering
from tests.outbox.relay.conftest import lane

SECOND_US = 1_000_000
T = 1_000 * SECOND_US


def sample(sampler: Sampler, *open_transactions: tuple[str, int | None], db_now: int, at: float = 0.0) -> Sample:
    return sampler.take([(name, start, False) for name, start in open_transactions], db_now=db_now, at=at)


def test_the_first_sample_knows_nothing_of_the_past() -> None:
    assert sample(Sampler(), db_now=T).look_from == 0


def test_what_begins_and_ends_between_two_samples_was_created_after_the_first() -> None:
    sampler = Sampler()
    sample(sampler, db_now=T)
    assert sample(sampler, db_now=T + SECOND_US).look_from == T - SLACK_US


def test_a_transaction_that_stays_open_costs_nothing_until_it_ends() -> None:
    sampler = Sampler()
    sample(sampler, db_now=T)
    for second in range(1, 300):
        seen = sample(sampler, ("7/1", T), db_now=T + second * SECOND_US)
        assert seen.look_from == T + (second - 1) * SECOND_US - SLACK_US
        assert seen.safe == T if second > 1 else seen.safe <= T
    assert sample(sampler, db_now=T + 300 * SECOND_US).look_from == T


def test_the_next_holder_starts_before_the_oldest_open_transaction() -> None:
    sampler = Sampler()
    sample(sampler, db_now=T)
    seen = sample(sampler, ("7/1", T - 60 * SECOND_US), ("8/2", T), db_now=T + SECOND_US)
    assert seen.safe <= T - 60 * SECOND_US


def test_without_transactions_the_floor_follows_the_clock() -> None:
    assert sample(Sampler(), db_now=T).safe == T - SLACK_US


def test_a_blind_sampler_moves_no_floor_and_looks_everywhere_on_a_slow_rhythm() -> None:
    sampler = Sampler()
    looks = []
    for second in range(int(3 * BLIND_LOOK_SECONDS)):
        seen = sampler.take([("hidden", None, True)], db_now=T + second * SECOND_US, at=float(second))
        assert seen.safe == 0
        looks.append(seen.look_from == 0)
    assert sum(looks) == 3


def test_a_clock_near_the_epoch_gives_no_negative_times() -> None:
    seen = sample(Sampler(), db_now=5)
    assert (seen.look_from, seen.safe) == (0, 0)


# A model: transactions as PostgreSQL has them, and lanes that change hands


@dataclass
class Transaction:
    started: int
    created: list[int] = field(default_factory=list)
    xid_at: int = 0
    prepared: bool = False


class World:
    """What is committed, what is published, and the holder of one lane. Every step takes a number that it may use."""

    def __init__(self) -> None:
        self.clock = T
        self.numbers = itertools.count(1)
        self.open: dict[int, Transaction] = {}
        self.visible: dict[int, int] = {}
        self.published: set[int] = set()
        self.samples: deque[Sample] = deque()
        self.claim(floor=0)

    # transactions

    def time_passes(self, number: int) -> None:
        self.clock += (1, 300_000, SLACK_US, 3 * SECOND_US)[number % 4]

    def insert_alone(self, number: int) -> None:
        self.visible[next(self.numbers)] = self.clock

    def begin(self, number: int) -> None:
        """`created_at` is taken up to a second before the transaction id."""
        transaction = Transaction(started=self.clock)
        self.clock += number % 3 * SECOND_US
        transaction.created, transaction.xid_at = [self.clock], self.clock + number % SLACK_US
        self.open[next(self.numbers)] = transaction

    def insert_more(self, number: int) -> None:
        for transaction in self._one(number):
            if not transaction.prepared:
                transaction.created.append(self.clock)

    def prepare(self, number: int) -> None:
        for transaction in self._one(number):
            self.clock = max(self.clock, transaction.xid_at)
            transaction.prepared = True

    def commit(self, number: int) -> None:
        for transaction in self._one(number):
            self.open = {name: each for name, each in self.open.items() if each is not transaction}
            self.clock = max(self.clock, transaction.xid_at)
            self.visible |= {next(self.numbers): created for created in transaction.created}

    def _one(self, number: int) -> list[Transaction]:
        return [list(self.open.values())[number % len(self.open)]] if self.open else []

    # the holder

    def take_sample(self, number: int = 0) -> None:
        rows: list[tuple[str, int | None, bool]] = []
        for name, each in self.open.items():
            if each.prepared:
                rows.append((f"prepared/{name}", None, False))
            elif each.xid_at <= self.clock:
                rows.append((f"session/{name}", each.started, False))
        self.samples.append(self.sampler.take(rows, db_now=self.clock, at=0.0))

    def hear(self, number: int = 0) -> None:
        while self.samples:
            tenure: Any = SimpleNamespace(lanes={"acme": self.lane}, sample=None)
            Steering._look_behind(SimpleNamespace(tenure=tenure), self.samples.popleft())  # type: ignore[arg-type]
            self.sample: Sample = tenure.sample

    def fetch(self, number: int) -> None:
        self.lane.apply_rewind()
        self.lane.safe = self.sample.safe
        past = (self.lane.cursor, self.lane.cursor_id)
        unsent = self.visible.keys() - self.published
        ahead = sorted(row for row in ((self.visible[event_id], event_id) for event_id in unsent) if row > past)
        for row in ahead[: 1 + number % 3]:
            self.published.add(row[1])
            self.lane.cursor, self.lane.cursor_id = row

    def hand_over(self, number: int) -> None:
        """Another relay, with a sampler of its own, goes on where the row says."""
        self.claim(floor=self.lane.floor)

    def claim(self, *, floor: int) -> None:
        self.lane: Lane = lane(floor=floor)
        self.sampler = Sampler()
        self.samples.clear()
        self.take_sample()
        self.hear()

    # what must hold

    def a_next_holder_would_miss_nothing(self) -> bool:
        waiting = [self.visible[event_id] for event_id in self.visible.keys() - self.published]
        waiting += [created for each in self.open.values() for created in each.created]
        return all(created >= self.lane.floor for created in waiting)

    def end(self) -> None:
        while self.open:
            self.commit(0)
        self.take_sample()
        self.hear()
        while self.visible.keys() - self.published:
            left = len(self.visible) - len(self.published)
            self.fetch(2)
            assert len(self.visible) - len(self.published) < left, "an event stays behind"


STEPS = {
    World.time_passes: 4,
    World.insert_alone: 4,
    World.begin: 3,
    World.insert_more: 1,
    World.prepare: 1,
    World.commit: 2,
    World.take_sample: 1,
    World.hear: 1,
    World.fetch: 6,
    World.hand_over: 1,
}
OFTEN = [step for step, times in STEPS.items() for _ in range(times)]


@given(st.lists(st.tuples(st.sampled_from(OFTEN), st.integers(0, SLACK_US - 1)), min_size=40, max_size=40))
@settings(max_examples=150)
def test_whatever_is_committed_is_published_however_late_it_appears(
    steps: list[tuple[Callable[[World, int], None], int]],
) -> None:
    world = World()
    for step, number in steps:
        step(world, number)
        assert world.a_next_holder_would_miss_nothing()
    world.end()
