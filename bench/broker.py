"""What the broker knows about a run: how many messages arrived, and when the first and the last one did."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

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
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([stamped])[topic].result(_TIMEOUT)


def delete_topic(bootstrap_servers: str, topic: str) -> None:
    """Give the disk back."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.delete_topics([topic])[topic].result(_TIMEOUT)


def drained(bootstrap_servers: str, topic: str, *, database_url: str) -> Drained:
    """Count and time what arrived on the topic; start and end of processes are outside, whatever they run."""
    messages, first = _first_arrival(bootstrap_servers, topic)
    with psycopg.connect(database_url) as connection:
        answer = connection.execute(
            "SELECT count(*), extract(epoch FROM max(sent_at)) FROM outbox_events "
            "WHERE topic = %s AND status = 'sent' AND kafka_offset IS NOT NULL",
            [topic],
        ).fetchone()
    assert answer is not None
    sent, last = answer
    return Drained(sent=sent, messages=messages, seconds=float(last) - first)


def _first_arrival(bootstrap_servers: str, topic: str) -> tuple[int, float]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": f"bench-{uuid.uuid4()}"})
    try:
        count, first = 0, float("inf")
        for partition in range(PARTITIONS):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT)
            if high > low:
                count += high - low
                message = _at(consumer, TopicPartition(topic, partition, low))
                first = min(first, message.timestamp()[1] / 1_000)
        return count, first
    finally:
        consumer.close()


def _at(consumer: Consumer, place: TopicPartition) -> Message:
    consumer.assign([place])
    message = consumer.poll(_TIMEOUT)
    assert message is not None and not message.error(), f"nothing at {place}"
    return message
