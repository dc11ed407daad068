"""The topic of queued writes, read by a group of consumers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from outbox.kafka.config import client_config, metadata_config
from outbox.kafka.logs import ClientLog
from somabrain.memory.names import TOPIC

logger = logging.getLogger(__name__)

GROUP = "memory-replay"

_DEFAULTS: Mapping[str, Any] = {
    "group.id": GROUP,
    "client.id": GROUP,
    "auto.offset.reset": "earliest",
    # A consumer that was killed is followed by another one after this.
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 2_000,
    # The topic comes into being with the first write that is queued.
    "topic.metadata.refresh.interval.ms": 2_000,
}
# What only a producer understands, and what follows from committing after success only.
_NOT_OF_CONSUMERS = ("acks", "batch.", "compression.", "partitioner", "queue.buffering.", "retries", "request.timeout")


class TopicReader:
    """One member of the group. Nothing is committed by itself. `forget` is told of partitions that come or go."""

    def __init__(self, *, forget: Callable[[int], None]) -> None:
        self._forget = forget
        self._committed: dict[int, int] = {}
        config = _config()
        self._consumer = Consumer({**config, "logger": ClientLog(config)})
        self._consumer.subscribe([TOPIC], on_assign=self._anew, on_revoke=self._anew, on_lost=self._anew)

    def read(self, most: int, *, seconds: float) -> list[Message]:
        """Messages in order per partition; fewer than `most` after that time.

        Raises `KafkaException` for an error that does not pass by itself.
        """
        return [message for message in self._consumer.consume(most, seconds) if _is_whole(message)]

    def rewind(self, partition: int, offset: int) -> bool:
        """Whether what follows is read from there."""
        try:
            self._consumer.seek(TopicPartition(TOPIC, partition, offset))
        except KafkaException as error:
            logger.debug("Partition %s cannot be wound back now: %s", partition, error)
            return False
        return True

    def commit(self, offsets: Mapping[int, int]) -> None:
        """What lies before these is done. If the broker does not take it now, a later one covers it."""
        news = {partition: offset for partition, offset in offsets.items() if self._committed.get(partition) != offset}
        if not news:
            return
        places = [TopicPartition(TOPIC, partition, offset) for partition, offset in news.items()]
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            logger.warning("Offsets are not committed, so some writes may come again: %s", error)
            return
        self._committed.update(news)

    def close(self) -> None:
        """Leave the group, so that another member goes on at once."""
        self._consumer.close()

    def _anew(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        for place in places:
            self._committed.pop(place.partition, None)
            self._forget(place.partition)


def _config() -> dict[str, Any]:
    given = metadata_config(base=client_config())
    ours = {name: value for name, value in given.items() if not name.startswith(_NOT_OF_CONSUMERS)}
    return {**_DEFAULTS, **ours, "enable.auto.commit": False, "enable.auto.offset.store": False}


def _is_whole(message: Message) -> bool:
    error = message.error()
    if error is None:
        return True
    if error.fatal() or error.code() in _HOPELESS:
        raise KafkaException(error)
    logger.debug("While reading %s: %s", TOPIC, error)
    return False


_HOPELESS = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
