"""The demo's topics on whatever broker there is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

Offsets = dict[tuple[str, int], int]

_TIMEOUT = 30.0
_READY_SECONDS = 10.0


def create(config: Mapping[str, Any], topics: Iterable[str]) -> None:
    """Create those that are missing, and wait until they are there.

    By asking for them, which is the only way with a mock broker, and then by a request that needs no
    `auto.create.topics.enable`. A broker that refuses both leaves them missing.
    """
    admin = AdminClient({**config})
    missing = sorted(_missing(admin, topics))
    refused = [topic for topic in missing if not _is_made_by_asking(admin, topic)]
    if refused:
        for created in admin.create_topics([NewTopic(topic) for topic in refused]).values():
            with suppress(KafkaException):
                created.result(_TIMEOUT)
    deadline = time.monotonic() + _READY_SECONDS
    while _missing(admin, missing) and time.monotonic() < deadline:
        time.sleep(0.05)


def ends(consumer: Consumer, topics: Iterable[str]) -> Offsets:
    """The offset after the last message of every partition; a topic that is not there has none."""
    existing = consumer.list_topics(timeout=_TIMEOUT).topics
    found: Offsets = {}
    for topic in topics:
        for partition in existing[topic].partitions if topic in existing else ():
            place = TopicPartition(topic, partition)
            found[topic, partition] = consumer.get_watermark_offsets(place, timeout=_TIMEOUT)[1]
    return found


def _is_made_by_asking(admin: AdminClient, topic: str) -> bool:
    error = admin.list_topics(topic, timeout=_TIMEOUT).topics[topic].error
    return error is None or error.code() == KafkaError.LEADER_NOT_AVAILABLE


def _missing(admin: AdminClient, topics: Iterable[str]) -> set[str]:
    """Those that no message can be written to."""
    existing = admin.list_topics(timeout=_TIMEOUT).topics
    return {topic for topic in topics if topic not in existing or not _has_leaders(existing[topic])}


def _has_leaders(topic: Any) -> bool:
    return topic.error is None and all(each.leader >= 0 for each in topic.partitions.values())
