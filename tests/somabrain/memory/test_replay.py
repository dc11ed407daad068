"""Queued writes are applied, whatever happens in between: on a real database and before a real memory.

The topic is a list here; the real one stands in tests/somabrain/management/test_memory.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Message
from django.db import OperationalError

from outbox.kafka.message import constant_headers, event_headers, message_key
from outbox.models import OutboxEvent
from somabrain.memory import HttpMemoryBackend, MemoryBackend, MemoryService, Question, Write, lanes, queue
from somabrain.memory import replay as replay_module
from somabrain.memory.replay import Replay
from somabrain.models import QueuedWrite
from tests.somabrain.memory.marks import on_database
from tests.support.memory_server import MemoryServer
from tests.support.waiting import wait_until

pytestmark = on_database


@dataclass
class Topic:
    """What relays have published, in one partition, and how a group reads it."""

    messages: list[Any] = field(default_factory=list)
    position: int = 0
    committed: int = 0

    def publish(self) -> None:
        """All that is in the outbox and not yet here, in order."""
        for event in OutboxEvent.objects.filter(pk__gt=max([0, *self.event_ids]), topic="memory.remember").order_by(
            "pk"
        ):
            self.add(event)

    def add(self, event: OutboxEvent, *, replay: bool = False, payload: bytes | None = None) -> None:
        headers = event_headers(constant_headers(event.tenant_id), event.dedupe_key, event.pk, 0, 0)
        self.messages.append(
            Message(
                topic="memory.remember",
                partition=0,
                offset=len(self.messages),
                key=message_key(event.tenant_id, event.partition_key, event.dedupe_key).encode(),
                value=json.dumps(event.payload).encode() if payload is None else payload,
                headers=[(name, value.encode()) for name, value in [*headers, *([("replay", "7")] if replay else [])]],
            )
        )

    @property
    def event_ids(self) -> list[int]:
        return [int(dict(message.headers())["event-id"]) for message in self.messages]

    def read(self, most: int, *, seconds: float) -> list[Message]:
        found = self.messages[self.position :][:most]
        self.position += len(found)
        return found

    def rewind(self, partition: int, offset: int) -> bool:
        self.position = offset
        return True

    def commit(self, offsets: Mapping[int, int]) -> None:
        committed = offsets.get(0, self.committed)
        assert committed >= self.committed
        self.committed = committed


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[MemoryBackend], Replay]]:
    started: list[Replay] = []
    # A step ends when its tenants have, however slow they are here; what hangs says how long it is waited for.
    monkeypatch.setattr(replay_module, "LANE_SECONDS", 60)

    def start(backend: MemoryBackend) -> Replay:
        started.append(Replay(backend, threads=4, clock=clock))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def replay(start: Callable[[MemoryBackend], Replay], backend: HttpMemoryBackend) -> Replay:
    return start(backend)


@pytest.fixture
def service(backend: HttpMemoryBackend) -> MemoryService:
    return MemoryService(backend, "acme")


def fail(memory: MemoryServer, service: MemoryService, **payloads: Any) -> None:
    """Have these writes queued."""
    memory.status = 503
    for key, payload in payloads.items():
        assert service.remember(key, payload).queued
    memory.status = 200
    MemoryService.reset_circuit_for_tenant(service.tenant_id)


def test_what_was_queued_is_applied_and_then_committed(
    replay: Replay, topic: Topic, service: MemoryService, memory: MemoryServer
) -> None:
    fail(memory, service, tea="green", coffee="black")
    topic.publish()
    assert replay.step(topic)
    assert (memory.payload("tea"), memory.payload("coffee")) == ("green", "black")
    assert not QueuedWrite.objects.exists()
    assert topic.committed == 2
    assert not replay.step(topic)


def test_fail_recover_write_again_and_replay_ends_with_the_newest(
    replay: Replay, topic: Topic, service: MemoryService, memory: MemoryServer
) -> None:
    fail(memory, service, tea="first")
    assert service.remember("tea", "second").queued
    topic.publish()
    assert replay.step(topic)
    assert memory.payload("tea") == "second"
    assert not service.remember("tea", "third").queued
    assert memory.payload("tea") == "third"
    topic.position = 0
    replay.step(topic)
    assert memory.payload("tea") == "third"


class Forgetful:
    """A memory that keeps whatever comes last, as none should."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.down = False

    def put(self, write: Write) -> None:
        if self.down:
            raise ConnectionError
        self.kept[write.key] = write.payload

    async def aput(self, write: Write) -> None:
        self.put(write)

    def search(self, question: Question) -> tuple[()]:
        return ()

    async def asearch(self, question: Question) -> tuple[()]:
        return ()

    def ping(self) -> None:
        """Well."""


def test_nothing_is_overtaken_even_in_a_memory_that_knows_no_versions(
    start: Callable[[MemoryBackend], Replay], topic: Topic
) -> None:
    backend = Forgetful()
    service, replay = MemoryService(backend, "acme"), start(backend)
    backend.down = True
    service.remember("tea", "first")
    backend.down = False
    service.remember("tea", "second")
    first, second = OutboxEvent.objects.order_by("pk")
    for event in (first, second, first, second, first):
        topic.add(event)
    replay.step(topic)
    assert backend.kept == {"tea": "second"}
    service.remember("tea", "third")
    topic.position = 0
    replay.step(topic)
    assert backend.kept == {"tea": "third"}


def test_a_message_that_comes_twice_is_applied_once(
    replay: Replay, topic: Topic, service: MemoryService, memory: MemoryServer
) -> None:
    fail(memory, service, tea="green")
    topic.publish()
    topic.messages *= 2
    replay.step(topic)
    topic.position = 0
    asked = len(memory.asked)
    replay.step(topic)
    assert len(memory.asked) == asked
    assert memory.payload("tea") == "green"


def test_a_memory_that_is_down_commits_nothing_and_loses_nothing(
    replay: Replay, topic: Topic, service: MemoryService, memory: MemoryServer, clock: Clock
) -> None:
    fail(memory, service, tea="green", coffee="black")
    topic.publish()
    memory.status = 503
    assert not replay.step(topic)
    assert topic.committed == 0
    assert QueuedWrite.objects.count() == 2
    memory.status = 200
    assert not replay.step(topic), "not before a while"
    clock.now += 10
    assert replay.step(topic)
    assert topic.committed == 2
    assert memory.payload("coffee") == "black"


def test_after_a_failure_nothing_else_of_the_tenant_is_tried(
    replay: Replay, topic: Topic, service: MemoryService, memory: MemoryServer
) -> None:
    fail(memory, service, **{f"tea-{number}": number for number in range(5)})
    topic.publish()
    memory.status = 503
    asked = len(memory.asked)
    replay.step(topic)
    assert len(memory.asked) == asked + 1


def test_a_tenant_whose_circuit_is_open_keeps_no_other_waiting(
    replay: Replay, topic: Topic, backend: HttpMemoryBackend, memory: MemoryServer, clock: Clock
) -> None:
    acme, globex = MemoryService(backend, "acme"), MemoryService(backend, "globex")
    MemoryService.configure_tenant_thresholds("acme", failure_threshold=1)
    memory.status = 503
    for number in range(3):
        acme.remember(f"tea-{number}", number)
        globex.remember(f"tea-{number}", number)
    memory.status = 200
    topic.publish()
    asked = len(memory.asked)
    assert replay.step(topic)
    assert set(QueuedWrite.objects.values_list("tenant_id", flat=True)) == {"acme"}
    assert {body["tenant_id"] for _, body in memory.asked[asked:]} == {"globex"}
    assert topic.committed == 0, "acme's first message lies there"
    clock.now += 10
    assert not replay.step(topic)
    assert len(memory.asked) == asked + 3, "the circuit is asked, and not the memory"
    MemoryService.reset_circuit_for_tenant("acme")
    clock.now += 10
    assert replay.step(topic)
    assert topic.committed == 6
    assert not QueuedWrite.objects.exists()


def test_a_tenant_that_hangs_keeps_no_other_waiting_and_is_served_when_it_answers(
    replay: Replay,
    topic: Topic,
    backend: HttpMemoryBackend,
    memory: MemoryServer,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    acme, globex = MemoryService(backend, "acme"), MemoryService(backend, "globex")
    memory.status = 503
    for number in range(2):
        acme.remember(f"tea-{number}", number)
        globex.remember(f"tea-{number}", number)
    memory.status = 200
    memory.hangs.add("acme")
    topic.publish()
    monkeypatch.setattr(replay_module, "LANE_SECONDS", 0.05)
    wait_until(lambda: replay.step(topic))
    wait_until(lambda: replay.step(topic) or not QueuedWrite.objects.filter(tenant_id="globex").exists())
    assert set(QueuedWrite.objects.values_list("tenant_id", flat=True)) == {"acme"}
    assert topic.committed == 0, "acme's first message lies there"
    memory.hanging.set()
    wait_until(lambda: (replay.step(topic), topic.committed == 4)[1])
    assert memory.payload("tea-1") == 1
    assert len(memory.writes) == 4 + 4, "none was applied twice"
    assert not QueuedWrite.objects.exists()


def test_who_loses_a_partition_ends_with_the_write_under_way(
    replay: Replay, topic: Topic, service: MemoryService, memory: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(memory, service, tea="green", coffee="black")
    topic.publish()
    memory.hangs.add("acme")
    asked = len(memory.asked)
    monkeypatch.setattr(replay_module, "LANE_SECONDS", 0.05)
    assert not replay.step(topic)
    wait_until(lambda: len(memory.asked) > asked)
    replay.forget(0)
    memory.hanging.set()
    replay.close()
    assert len(memory.asked) == asked + 1
    assert QueuedWrite.objects.get().key == "coffee"


def test_a_kill_after_the_memory_has_it_applies_it_once_more_and_never_over_something_newer(
    replay: Replay,
    start: Callable[[MemoryBackend], Replay],
    backend: HttpMemoryBackend,
    topic: Topic,
    service: MemoryService,
    memory: MemoryServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail(memory, service, tea="green")
    topic.publish()
    with monkeypatch.context() as patch:
        patch.setattr(queue, "settle", _killed)
        with pytest.raises(KeyboardInterrupt):
            replay.step(topic)
    assert topic.committed == 0
    assert service.remember("tea", "black").queued, "nobody knows yet that it is applied"
    topic.publish()
    topic.position = 0
    assert start(backend).step(topic)
    assert memory.payload("tea") == "black"
    assert topic.committed == 2


def test_a_database_that_is_out_commits_nothing_and_loses_nothing(
    replay: Replay,
    topic: Topic,
    service: MemoryService,
    memory: MemoryServer,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fail(memory, service, tea="green")
    topic.publish()
    for name in ("rows", "settle"):
        with monkeypatch.context() as patch:
            patch.setattr(queue, name, _out)
            assert not replay.step(topic)
            assert topic.committed == 0
        clock.now += 10
    assert replay.step(topic)
    assert topic.committed == 1
    assert not QueuedWrite.objects.exists()
    assert len([record for record in caplog.records if "does not say what waits" in record.getMessage()]) == 1


def test_a_write_that_the_memory_refuses_stands_there_for_staff_and_stops_nothing(
    replay: Replay, topic: Topic, service: MemoryService, memory: MemoryServer
) -> None:
    fail(memory, service, tea="green")
    topic.publish()
    memory.status = 404
    assert replay.step(topic)
    memory.status = 200
    row = QueuedWrite.objects.get()
    assert row.rejected_at is not None
    assert "http_404" in row.reason
    assert (topic.committed, replay.summary.rejected) == (1, 1)
    assert queue.count("acme") == 0
    topic.position = 0
    asked = len(memory.asked)
    replay.step(topic)
    assert len(memory.asked) == asked, "it is not tried again by itself"


def test_a_refused_write_is_tried_again_when_staff_replay_it(
    replay: Replay, topic: Topic, service: MemoryService, memory: MemoryServer
) -> None:
    fail(memory, service, tea="green")
    topic.publish()
    memory.status = 404
    replay.step(topic)
    memory.status = 200
    topic.add(OutboxEvent.objects.get(), replay=True)
    assert replay.step(topic)
    assert memory.payload("tea") == "green"
    assert not QueuedWrite.objects.exists()


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"7", b'{"namespace": "acme"}'])
def test_a_message_that_cannot_be_read_is_refused(
    replay: Replay, topic: Topic, service: MemoryService, memory: MemoryServer, payload: bytes
) -> None:
    fail(memory, service, tea="green")
    topic.add(OutboxEvent.objects.get(), payload=payload)
    replay.step(topic)
    assert "cannot be read" in QueuedWrite.objects.get().reason
    assert topic.committed == 1


def test_a_message_that_says_other_than_what_was_queued_is_left_out(
    replay: Replay, topic: Topic, service: MemoryService, memory: MemoryServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may write to the topic writes to no tenant's memory."""
    fail(memory, service, tea="green")
    event = OutboxEvent.objects.get()
    event.tenant_id = "globex"
    topic.add(event)
    asked = len(memory.asked)
    replay.step(topic)
    assert len(memory.asked) == asked
    assert "is not the write that was queued" in caplog.text


def test_a_message_that_no_relay_has_written_is_left_out(
    replay: Replay, topic: Topic, memory: MemoryServer, caplog: pytest.LogCaptureFixture
) -> None:
    topic.messages.append(Message(topic="memory.remember", partition=0, offset=0, value=b"{}"))
    replay.step(topic)
    assert topic.committed == 1
    assert "was not written by the outbox" in caplog.text


def test_a_batch_ends_in_time_and_what_is_left_comes_again(
    replay: Replay,
    topic: Topic,
    service: MemoryService,
    memory: MemoryServer,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail(memory, service, tea="green", coffee="black")
    topic.publish()
    with monkeypatch.context() as patch:
        patch.setattr(lanes, "LANE_LASTS_SECONDS", -1)
        assert not replay.step(topic)
    assert topic.committed == 0
    assert replay.step(topic)
    assert topic.committed == 2


def _killed(*_: Any) -> None:
    raise KeyboardInterrupt


def _out(*_: Any) -> None:
    raise OperationalError("the database is out")
