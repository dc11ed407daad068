"""What the broker knows about a run: how many messages arrived, and when the first and the last one did."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Self

import psycopg
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

PARTITIONS = 4
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """A finished drain: from the broker's first append to the database's last acknowledgement."""

    sent: int
    messages: int
    seconds: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.sent / self.seconds

    def line(self) -> str:
        counts = f"{self.sent:,} events, {self.messages:,} messages"
        return f"{self.rate:8,.0f} events/s   {counts}, {self.seconds:.2f} s"


def create_topic(bootstrap_servers: str, topic: str) -> None:
    """A topic that stamps messages when they arrive, so that every loop is timed by the same clock."""
    stamped = NewTopic(topic, num_partitions=PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 4})
    admin.create_topics([stamped])[topic].result(_TIMEOUT)


def delete_topic(bootstrap_servers: str, topic: str) -> None:
    """Give the disk back."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 4})
    admin.delete_topics([topic])[topic].result(_TIMEOUT)


def drained(bootstrap_servers: str, topic: str, *, database_url: str) -> Drained:
    """Count and time what arrived on the topic; start and end of processes are outside, whatever they run."""
    with Watermarks(bootstrap_servers, topic) as watermarks:
        messages, first = watermarks.messages(), watermarks.first_arrival()
    with psycopg.connect(database_url) as connection:
        answer = connection.execute(
            "SELECT count(*), extract(epoch FROM max(sent_at)) FROM outbox_events "
            "WHERE topic = %s AND status = 'sent' AND kafka_offset IS NOT NULL",
            [topic],
        ).fetchone()
    assert answer is not None
    sent, last = answer
    return Drained(sent=sent, messages=messages, seconds=float(last) - first)


class Watermarks:
    """How many messages a topic holds, asked of the broker for next to nothing."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._topic = topic
        self._consumer = _consumer(bootstrap_servers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def messages(self) -> int:
        """As of now."""
        return sum(high - low for low, high in self.bounds())

    def bounds(self) -> list[tuple[int, int]]:
        """First and next offset of each partition."""
        places = [TopicPartition(self._topic, partition) for partition in range(PARTITIONS)]
        return [self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT) for place in places]

    def first_arrival(self) -> float:
        """When the broker appended the topic's first message, in seconds since 1970."""
        first = [
            _at(self._consumer, TopicPartition(self._topic, partition, low)).timestamp()[1] / 1_000
            for partition, (low, high) in enumerate(self.bounds())
            if high > low
        ]
        return min(first)


def _consumer(bootstrap_servers: str) -> Consumer:
    return Consumer({"bootstrap.servers": bootstrap_servers, "group.id": f"bench-{uuid.uuid4()}"})


def _at(consumer: Consumer, place: TopicPartition) -> Message:
    consumer.assign([place])
    message = consumer.poll(_TIMEOUT)
    assert message is not None and not message.error(), f"nothing at {place}"
    return message
