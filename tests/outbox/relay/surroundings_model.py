"""What a relay meets in its model: a broker, and in the place of its threads what hands over when it is told to."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from outbox.kafka.topic_book import TopicState
from outbox.relay.lanes import ID
from outbox.relay.settle import Job
from outbox.relay.watch import Found, News, Vitals
from tests.outbox.relay.database_model import LOOSE, TENANT

if TYPE_CHECKING:
    from tests.outbox.relay.relay_model import World


class Broker:
    """Takes events, delivers them in order, and reports; stands for the senders and for their one producer."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.under_way: deque[tuple[int, Any]] = deque()
        self.log: list[int] = []
        """Every event that was delivered, once, in the order of their first deliveries."""
        self.room: int | None = None
        self._last: dict[str, int] = {}
        self._unsettled: set[int] = set()

    def produce(self, topic: str, payload: str, key: str, partition: int, report: Any, *_: Any) -> None:
        if self.room == 0:
            raise BufferError
        if self.room is not None:
            self.room -= 1
        event_id = report.args[0][ID]
        assert self._world.database.visible[event_id].status == "pending", "published again"
        assert all(event_id != each for each, _ in self.under_way), "published twice"
        self.under_way.append((event_id, report))

    def deliver(self, count: int) -> None:
        for _ in range(min(count, len(self.under_way))):
            event_id, report = self.under_way.popleft()
            self._receive(event_id)
            report(None, Receipt())

    def fail(self, number: int) -> None:
        """All that is under way is reported as failed, some of which the broker has. Not all need be to blame."""
        failed, received = list(self.under_way), number % 3
        self.under_way.clear()
        for n, (event_id, report) in enumerate(failed):
            if n < received:
                self._receive(event_id)
            burned = number // 3 >> n % 6 & 1
            report(KafkaError(KafkaError.NOT_ENOUGH_REPLICAS if burned else KafkaError._MSG_TIMED_OUT), None)

    def lose(self, received: int) -> None:
        for event_id, _ in list(self.under_way)[:received]:
            self._receive(event_id)
        self.under_way.clear()

    def _receive(self, event_id: int) -> None:
        if event_id not in self.log:
            self.log.append(event_id)
            key = self._world.database.visible[event_id].key
            assert key == LOOSE or self._last.get(key, 0) < event_id, f"{event_id} of key {key} was overtaken"
            self._last[key] = event_id

    # as the relay's senders

    @property
    def outstanding(self) -> int:
        return len(self.under_way)

    expecting = outstanding

    def of(self, lane: object, now: float) -> Broker:
        return self

    def poll(self) -> None:
        self._world.wait(0)

    def wait(self, timeout: float) -> None:
        self._world.wait(timeout)

    def usable(self, busy: object, now: float) -> bool:
        return True

    def judge(self, busy: object, now: float) -> None:
        """Nothing is overdue before the script says so."""

    def answers(self, produced_at: float) -> bool:
        return False

    def purge_all(self) -> None:
        """A relay that dies does not come to this."""


class Receipt:
    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0


class Topics:
    alive = True
    ok = frozenset({"news"})

    def state(self, topic: str) -> TopicState:
        return TopicState.OK

    def forget(self, topic: str) -> None:
        """There is one topic."""

    def close(self) -> None:
        """It has asked nobody."""


class Wake:
    def __init__(self, world: World) -> None:
        self._world = world

    def wait(self, seconds: float) -> bool:
        self._world.wait(seconds)
        return False

    def clear(self) -> None:
        """Whoever waits here waits for the script."""


class Watcher:
    def __init__(self, world: World) -> None:
        self._world = world
        self.vitals = Vitals()
        self.scan_now = threading.Event()

    def tell_backlogged(self, lanes: int) -> None:
        """There is no other relay."""

    def news(self) -> list[News]:
        database = self._world.database
        told, self._world.news = self._world.news, []
        if database.lane.owner is None and any(
            event.created >= (database.lane.floor or 0) for event in database.with_status("pending")
        ):
            told.append(Found(tenants=[TENANT], complete=None))
        return told

    def start(self) -> None:
        """The script says when there is news."""

    def abandon(self) -> None:
        """There is no thread to end."""


class Listener:
    waiting = False

    def heard(self) -> list[tuple[str, str]]:
        return []

    def close(self) -> None:
        """There is no thread to end."""


class Rollup:
    """What the relay did is written nowhere."""

    def start(self) -> None:
        """There is no thread to start."""

    def close(self) -> None:
        """There is no thread to end."""

    abandon = close


class Settler:
    def __init__(self, world: World) -> None:
        self._world = world
        self.submit = world.jobs.append

    def finished(self) -> list[Job]:
        done, self._world.done[:] = list(self._world.done), []
        return done

    def abandon(self) -> None:
        """There is no thread to end."""
