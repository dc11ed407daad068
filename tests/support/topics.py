"""What lies on a broker's topics."""

from __future__ import annotations

from confluent_kafka import Consumer, Message, TopicPartition

_SECONDS = 30


def event_ids(bootstrap_servers: str, *topics: str) -> list[int]:
    """The outbox's number of every message that is there now, duplicates included."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "tests", "enable.auto.commit": False})
    try:
        return [number for topic in topics for number in _read(consumer, topic)]
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str) -> list[int]:
    places, there = [], 0
    for partition in consumer.list_topics(topic, timeout=_SECONDS).topics[topic].partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_SECONDS)
        places.append(TopicPartition(topic, partition, low))
        there += high - low
    consumer.assign(places)
    found: list[int] = []
    while len(found) < there:
        # No more than there are, for it waits until it has as many.
        messages = consumer.consume(min(there - len(found), 10_000), timeout=_SECONDS)
        assert messages, f"{topic}: {len(found)} of {there} messages came"
        found += [_event_id(message) for message in messages if message.error() is None]
    return found


def _event_id(message: Message) -> int:
    headers: dict[str, bytes] = dict(message.headers() or [])  # type: ignore[arg-type]
    return int(headers["event-id"])
