"""The relay itself, single-threaded: its database, its broker and its clock are models, told by a script what to do.

Wherever the relay waits, sends a statement or looks at its reports, the script goes on up to its next `pause`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from outbox.relay import fetch, late, loop, publish, settle, steering, tenure
from outbox.relay.loop import Relay
from outbox.relay.settle import Job
from outbox.relay.watch import News, Promoted
from tests.outbox.relay.database_model import KEYS, SECOND_US, TENANT, Database, Transaction
from tests.outbox.relay.surroundings_model import Broker, Listener, Rollup, Settler, Topics, Wake, Watcher

Step = Callable[["World", int], None]


class Died(Exception):
    """The relay's process is gone."""


class World:
    """Steps take a number to choose with. Any of them may come while the relay is at something, but for its own."""

    def __init__(self) -> None:
        self.database = Database(self.meanwhile)
        self.broker = Broker(self)
        self.script: deque[tuple[Step, int]] = deque()
        self.relay: Relay | None = None
        self.news: list[News] = []
        self.jobs: deque[Job] = deque()
        self.done: list[Job] = []
        self.working = False

    def run(self, script: list[tuple[Step, int]]) -> None:
        with self._in_its_place():
            self.script.extend(script)
            while self.script:
                step, number = self.script.popleft()
                self._take(step, number)
            self.end()

    def meanwhile(self) -> bool:
        """Whether anything happened."""
        before = len(self.script)
        while self.script and self.script[0][0] not in (World.round, World.pause):
            step, number = self.script.popleft()
            step(self, number)
            self.check()
        if self.script and self.script[0][0] is World.pause:
            self.script.popleft()
        return len(self.script) < before

    def _take(self, step: Step, number: int) -> None:
        try:
            step(self, number)
        except Died:
            self._bury(number)
        self.check()

    # steps: time and transactions

    def pause(self, number: int) -> None:
        """Nothing happens until the relay comes to its next place to wait."""

    def time_passes(self, number: int) -> None:
        self.database.let_time_pass((1, 300_000, SECOND_US, 3 * SECOND_US)[number % 4])

    def insert_alone(self, number: int) -> None:
        begun = self.database.begin(KEYS[number % 4])
        if begun is not None:
            self.database.commit(begun)

    def begin(self, number: int) -> None:
        self.database.begin(KEYS[number % 4])

    def begin_slowly(self, number: int) -> None:
        self.database.begin(KEYS[number % 4], takes=number // 4 % 5 * SECOND_US // 2)

    def begin_and_wait(self, number: int) -> None:
        self.database.begin(KEYS[number % 4], lock_takes=number // 4 % 5 * SECOND_US + 1)

    def begin_by_reading(self, number: int) -> None:
        self.database.begin(KEYS[number % 4], reads=True)

    def insert_more(self, number: int) -> None:
        for transaction in self._one(number):
            self.database.insert_more(transaction)

    def prepare(self, number: int) -> None:
        for transaction in self._one(number):
            self.database.prepare(transaction)

    def commit(self, number: int) -> None:
        for transaction in self._one(number):
            self.database.commit(transaction)

    def roll_back(self, number: int) -> None:
        for transaction in self._one(number):
            self.database.roll_back(transaction)

    def _one(self, number: int) -> list[Transaction]:
        transactions = self.database.open
        return [transactions[number % len(transactions)]] if transactions else []

    # steps: the broker and what is due

    def deliver(self, number: int) -> None:
        self.broker.deliver(1 + number)

    def fail(self, number: int) -> None:
        self.broker.fail(number)

    def fill_up(self, number: int) -> None:
        """The producer takes so many events more, until the next round."""
        self.broker.room = number % 3

    def promote(self, number: int) -> None:
        """One or all that wait for their next attempt are due; this relay may be the one that notices."""
        events = self.database.with_status("scheduled")
        oldest = self.database.promote(events if number % 2 else events[number // 2 % 3 :][:1])
        if oldest is not None and number % 3:
            self.news.append(Promoted(oldest={TENANT: oldest}))

    # steps: the relay

    def round(self, number: int) -> None:
        self.database.let_time_pass(5_000)
        self.broker.room = None
        if self.relay is None:
            self._start()
        assert self.relay is not None
        if self.relay._round():
            self.relay._looks.found_work()
        else:
            self.relay._rest()

    def settle(self, number: int) -> None:
        """The settle thread's next job is committed."""
        if self.jobs and not self.working:
            job, self.working = self.jobs.popleft(), True
            with self.database.standing_still():
                job.run(self.database, self.relay.id)  # type: ignore[arg-type, union-attr]
            self.done.append(job)
            self.working = False

    def leave(self, number: int) -> None:
        if self.relay is not None:
            self.relay.steering.leave_all()

    def die(self, number: int) -> None:
        if self.relay is not None:
            raise Died

    def _bury(self, number: int) -> None:
        """What was sent to the database or to the broker may still arrive, the first of it sooner than the rest."""
        if number % 2:
            self.settle(number)
        self.broker.lose(number // 2)
        self.database.lane.owner = None
        self.jobs.clear()
        self.done.clear()
        self.news.clear()
        self.relay = None

    def _start(self) -> None:
        self.relay = Relay()
        self.relay._wake = Wake(self)  # type: ignore[assignment]
        self.relay._outcomes._clock = self.monotonic

    # what must hold

    def check(self) -> None:
        floor = self.database.lane.floor or 0
        there = [*self.database.with_status("pending"), *(e for each in self.database.open for e in each.events)]
        missed = [event for event in there if event.created < floor and not self.database.waits(event)]
        assert not missed, f"the next holder would start after {missed}"

    def end(self) -> None:
        """Everything ends well, and everything committed is published."""
        while self.database.open:
            self.database.commit(self.database.open[0])
        for _ in range(6 * len(self.database.visible) + 12):
            if not (self.database.with_status("pending") or self.database.with_status("scheduled")):
                return
            self.database.promote(self.database.with_status("scheduled"))
            self._take(World.round, 0)
            self.broker.deliver(len(self.broker.under_way))
            self.database.let_time_pass(SECOND_US)
        raise AssertionError(f"left behind: {self.database.with_status('pending')}")

    # the relay's surroundings

    def monotonic(self) -> float:
        return self.database.clock / 1e6

    def wait(self, seconds: float) -> None:
        if not self.meanwhile():
            self.settle(0)
        self.database.let_time_pass(int(seconds * 1e6) + 1)

    @contextmanager
    def _in_its_place(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for module in (fetch, late, settle, tenure):
                patch.setattr(module, "query", self.database.query)
            for module in (late, loop, publish):
                patch.setattr(module, "time", self)
            patch.setattr(publish, "CHUNK", 2)
            # Whatever is reported is worth a settle of its own.
            patch.setattr(loop, "EARLY_PART", 1_000_000)
            patch.setattr(publish, "FULL_SECONDS", 0.01)
            patch.setattr(loop, "connect", lambda name: self.database)
            patch.setattr(loop, "hold_identity", lambda connection, relay_id: None)
            patch.setattr(loop, "client_config", dict)
            patch.setattr(loop, "TopicDirectory", lambda base, *, on_change: Topics())
            patch.setattr(loop, "Senders", lambda **_: self.broker)
            patch.setattr(steering, "Watcher", lambda **_: Watcher(self))
            patch.setattr(steering, "Listener", lambda **_: Listener())
            patch.setattr(steering, "Rollup", lambda ledger: Rollup())
            patch.setattr(steering, "Settler", lambda **_: Settler(self))
            yield


STEPS: dict[Step, int] = {
    World.pause: 10,
    World.time_passes: 3,
    World.insert_alone: 5,
    World.begin: 3,
    World.begin_slowly: 2,
    World.begin_and_wait: 1,
    World.begin_by_reading: 1,
    World.insert_more: 1,
    World.prepare: 1,
    World.commit: 4,
    World.roll_back: 1,
    World.round: 9,
    World.deliver: 6,
    World.settle: 5,
    World.fail: 1,
    World.promote: 1,
    World.fill_up: 1,
    World.leave: 1,
    World.die: 1,
}
"""How often each is taken."""
