"""A consumer that compares what arrived in Kafka with what was committed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import Consumer, Message, TopicPartition

from outbox.kafka.message import NotAnEvent, ReceivedEvent, parse_message
from somabrain.demo import broker_topics
from somabrain.demo.broker_topics import Offsets
from somabrain.errors import SomabrainError

_PATIENCE = 30.0


class TopicsUnreadable(SomabrainError):
    """The demo's topics could not be read to their end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is wrong with the messages: nothing, if all numbers are 0."""

    missing: int
    duplicates: int
    order_inversions: int
    unknown: int
    """Events that arrived although nobody has committed them."""

    @property
    def holds(self) -> bool:
        return not (self.missing or self.duplicates or self.order_inversions or self.unknown)


class Reader:
    """Reads topics from where they ended when it was made."""

    def __init__(self, config: Mapping[str, Any], topics: Iterable[str]) -> None:
        self._topics = list(topics)
        self._consumer = Consumer({**config, "group.id": "somabrain-demo", "enable.auto.commit": False})
        self._begin = broker_topics.ends(self._consumer, self._topics)

    def compare(self, committed: Iterable[int], *, prefix: str) -> Comparison:
        """Read what was added meanwhile. Events with other dedupe keys than with this prefix are others' business."""
        return compare(committed, (event for event in self._events() if event.dedupe_key.startswith(prefix)))

    def close(self) -> None:
        self._consumer.close()

    def _events(self) -> Iterator[ReceivedEvent]:
        end = broker_topics.ends(self._consumer, self._topics)
        begin = {place: self._begin.get(place, 0) for place in end}
        for message in self._messages(begin, end):
            try:
                yield parse_message(message)
            except NotAnEvent:
                continue

    def _messages(self, begin: Offsets, end: Offsets) -> Iterator[Message]:
        """Each partition in its order, up to the end as given."""
        left = {place for place in end if begin[place] < end[place]}
        self._consumer.assign([TopicPartition(*place, begin[place]) for place in left])
        deadline = time.monotonic() + _PATIENCE
        while left:
            message = self._consumer.poll(1.0)
            if time.monotonic() > deadline:
                raise TopicsUnreadable(f"{len(left)} partitions were not read to their end in {_PATIENCE:g} s.")
            if message is None or message.error() is not None:
                continue
            place = _place(message)
            if _offset(message) < end[place]:
                yield message
            if _offset(message) + 1 >= end[place]:
                left.discard(place)


def compare(committed: Iterable[int], received: Iterable[ReceivedEvent]) -> Comparison:
    """`committed`: ids of all events in the order of their commits; `received`: each partition in its own order."""
    ranks = {event_id: rank for rank, event_id in enumerate(committed)}
    seen: set[int] = set()
    latest: dict[tuple[str, str], int] = {}
    duplicates = inversions = 0
    for event in received:
        if event.event_id in seen:
            duplicates += 1
            continue
        seen.add(event.event_id)
        if (rank := ranks.get(event.event_id)) is not None:
            of_key = (event.topic, event.key)
            inversions += rank < latest.get(of_key, 0)
            latest[of_key] = max(rank, latest.get(of_key, 0))
    return Comparison(
        missing=len(ranks.keys() - seen),
        duplicates=duplicates,
        order_inversions=inversions,
        unknown=len(seen - ranks.keys()),
    )


def _offset(message: Message) -> int:
    return cast(int, message.offset())


def _place(message: Message) -> tuple[str, int]:
    return cast(str, message.topic()), cast(int, message.partition())
