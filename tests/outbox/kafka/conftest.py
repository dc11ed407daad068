"""Producers and topic directories that end with their test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from outbox.kafka.config import producer_config
from outbox.kafka.producer import Sender
from outbox.kafka.topics import TopicDirectory, TopicState

HANG_SECONDS = 30.0


@dataclass
class Reports:
    """What became of the messages of one sender: 0 for delivered, else the code, by what they carried."""

    sender: Sender
    codes: dict[str, int] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)

    def produce(self, *values: str, topic: str = "news", key: str = "acme:1") -> None:
        for value in values:
            try:
                self.sender.produce(
                    topic, value.encode(), key, -1, lambda error, _, value=value: self._report(value, error)
                )
            except KafkaException as error:
                self.raised.append(value)
                self.codes[value] = self.sender.note(error)

    def wait(self, *values: str) -> list[int]:
        """The codes of these messages, once all are reported."""
        deadline = time.monotonic() + HANG_SECONDS
        while not self.codes.keys() >= set(values):
            assert time.monotonic() < deadline, f"no report: {set(values) - self.codes.keys()}"
            self.sender.poll(0.02)
        return [self.codes[value] for value in values]

    def deliver(self, *values: str, topic: str = "news") -> list[int]:
        self.produce(*values, topic=topic)
        return self.wait(*values)

    def _report(self, value: str, error: KafkaError | None) -> None:
        self.codes[value] = 0 if error is None else error.code()
        self.order.append(value)


MakeSender = Callable[..., Reports]


@pytest.fixture
def make_sender() -> Iterator[MakeSender]:
    """A warm sender for these bootstrap servers; further arguments are librdkafka's, with underscores."""
    with ExitStack() as made:

        def make(
            servers: str,
            *,
            isolate: bool = False,
            warm: bool = True,
            delivery_timeout: float = 3.0,
            message_timeout: float = HANG_SECONDS,
            **more: Any,
        ) -> Reports:
            base = {"bootstrap.servers": servers, **{name.replace("_", "."): more[name] for name in more}}
            times = {"delivery_timeout": delivery_timeout, "message_timeout": message_timeout}
            config = producer_config(base=base, isolate=isolate, **times)
            sender = Sender(config)
            made.callback(sender.purge_and_close, 5)
            if warm:
                assert sender.warm(timeout=HANG_SECONDS)
            return Reports(sender)

        yield make


class Watched(TopicDirectory):
    """A directory whose answers can be waited for."""

    def __init__(self, servers: str) -> None:
        self.news = threading.Event()
        super().__init__({"bootstrap.servers": servers, "log_level": 0}, on_change=self.news.set)

    def wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + HANG_SECONDS
        while not holds():
            assert time.monotonic() < deadline
            self.news.wait(0.1)
            self.news.clear()

    def settle(self, topic: str) -> TopicState:
        """Its state, once it is known."""
        self.wait(lambda: self.state(topic) is not TopicState.CHECKING)
        return self.state(topic)


@pytest.fixture
def watch() -> Iterator[Callable[[str], Watched]]:
    with ExitStack() as made:

        def make(servers: str) -> Watched:
            directory = Watched(servers)
            made.callback(directory.close)
            return directory

        yield make


def native_threads() -> set[int]:
    """All threads of this process, librdkafka's too."""
    return {thread.id for thread in psutil.Process().threads()}


def wait_until(holds: Callable[[], bool]) -> None:
    """For what the kernel does in its own time."""
    deadline = time.monotonic() + HANG_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def consume(servers: str, *, topic: str, count: int, partitions: int = 4) -> list[str]:
    """The first `count` values of a topic, each partition's in its order."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "reader", "log_level": 0})
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)])
    values: list[str] = []
    deadline = time.monotonic() + HANG_SECONDS
    while len(values) < count:
        assert time.monotonic() < deadline, f"{len(values)} of {count}"
        values += [_text(message) for message in consumer.consume(count - len(values), timeout=0.2)]
    consumer.close()
    return values


def _text(message: Message) -> str:
    assert message.error() is None, message.error()
    return (message.value() or b"").decode()
