"""What happened in a run, event by event: what was committed, what the table says, what lies on the topics."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, starmap
from operator import attrgetter
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, Message, TopicPartition

_TIMEOUT = 30.0
_SHOWN = 5


class Incomplete(Exception):
    """What lies on a topic is not all that was put there, so it proves nothing."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A committed event, as its row has it."""

    event_id: int
    tenant: str
    key: str
    sequence: int
    status: str
    topic: str
    partition: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on a topic; `at` is when it was produced, in seconds since 1970."""

    event_id: int
    tenant: str
    key: str
    sequence: int
    topic: str
    partition: int
    offset: int
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A delivery of an event that has one already; `before` was produced right before it."""

    before: Delivery
    again: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong with a run; each entry names an event."""

    lost: tuple[int, ...] = ()
    """Committed, and on no topic."""
    vanished: tuple[int, ...] = ()
    """Committed says the journal, and no row."""
    phantoms: tuple[int, ...] = ()
    """On a topic, and not committed."""
    resurrected: tuple[int, ...] = ()
    """Rolled back says the journal, and a row or a message all the same."""
    unsent: tuple[int, ...] = ()
    """Committed, and not `sent`."""
    false_receipts: tuple[int, ...] = ()
    """`sent`, and something else or nothing where the receipt points to."""
    inversions: tuple[tuple[Delivery, Delivery], ...] = ()
    """A first delivery, and one before it on the topic that should have come after it."""
    scattered: tuple[tuple[str, str], ...] = ()
    """Keys on several partitions, hence in no order."""
    duplicates: tuple[Duplicate, ...] = ()
    evidence: tuple[tuple[Stored, Delivery | None], ...] = field(default=(), compare=False)
    """Each false receipt with what lies where it points to."""

    @property
    def faults(self) -> dict[str, str]:
        """Everything that no crash excuses, by name."""
        names = ("lost", "vanished", "phantoms", "resurrected", "unsent", "false_receipts", "inversions", "scattered")
        found = {name: getattr(self, name) for name in names if getattr(self, name)}
        shown = found | ({"false_receipts": self.evidence} if self.evidence else {})
        return {name: f"{len(entries)}, such as {entries[:_SHOWN]}" for name, entries in shown.items()}

    def duplicates_by_kill(self, kills: Sequence[float], *, slack: float = 0.5) -> tuple[Counter[int], list[Duplicate]]:
        """How many each kill (seconds since 1970) explains, and those that none does.

        A kill explains a duplicate that was produced once before it and once after it; the earliest such one, since
        that is whose work was cut off.
        """
        moments = sorted(kills)
        counts: Counter[int] = Counter()
        unexplained = []
        for duplicate in self.duplicates:
            number = bisect_left(moments, duplicate.before.at - slack)
            if number < len(moments) and moments[number] <= duplicate.again.at + slack:
                counts[number] += 1
            else:
                unexplained.append(duplicate)
        return counts, unexplained


@dataclass(frozen=True, slots=True)
class History:
    stored: Sequence[Stored]
    deliveries: Sequence[Delivery]
    """In the order of their offsets within each partition."""
    journal: Mapping[int, bool] = field(default_factory=dict)
    """Event -> whether its transaction was committed; events that no writer speaks of are left out."""

    def judge(self) -> Verdict:
        rows = {event.event_id: event for event in self.stored}
        of_event: dict[int, list[Delivery]] = defaultdict(list)
        for delivery in self.deliveries:
            of_event[delivery.event_id].append(delivery)
        first = {event: deliveries[0] for event, deliveries in of_event.items()}
        said_committed = {event for event, committed in self.journal.items() if committed}
        said_rolled_back = self.journal.keys() - said_committed
        false = list(self._false_receipts())
        return Verdict(
            lost=tuple(sorted(rows.keys() - first.keys())),
            vanished=tuple(sorted(said_committed - rows.keys())),
            phantoms=tuple(sorted(first.keys() - rows.keys())),
            resurrected=tuple(sorted(said_rolled_back & (rows.keys() | first.keys()))),
            unsent=tuple(sorted(event.event_id for event in self.stored if event.status != "sent")),
            false_receipts=tuple(sorted(event.event_id for event, _ in false)),
            evidence=tuple(false),
            inversions=tuple(_inversions(first.values())),
            scattered=tuple(sorted(_scattered(self.deliveries))),
            duplicates=tuple(_duplicates(of_event.values())),
        )

    def _false_receipts(self) -> Iterator[tuple[Stored, Delivery | None]]:
        places: dict[tuple[str, int | None, int | None], Delivery] = {
            (each.topic, each.partition, each.offset): each for each in self.deliveries
        }
        for event in self.stored:
            there = places.get((event.topic, event.partition, event.offset))
            if event.status == "sent" and (there is None or there.event_id != event.event_id):
                yield event, there


def _duplicates(of_events: Iterable[list[Delivery]]) -> Iterator[Duplicate]:
    """In the order in which they were produced, which need not be that of their deliveries."""
    for deliveries in of_events:
        if len(deliveries) > 1:
            yield from starmap(Duplicate, pairwise(sorted(deliveries, key=attrgetter("at"))))


def _inversions(first: Iterable[Delivery]) -> Iterator[tuple[Delivery, Delivery]]:
    latest: dict[tuple[str, str], Delivery] = {}
    for delivery in first:
        if not delivery.key:
            continue
        before = latest.setdefault((delivery.tenant, delivery.key), delivery)
        if delivery.sequence < before.sequence:
            yield delivery, before
        else:
            latest[delivery.tenant, delivery.key] = delivery


def _scattered(deliveries: Iterable[Delivery]) -> Iterator[tuple[str, str]]:
    places: dict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    for delivery in deliveries:
        if delivery.key:
            places[delivery.tenant, delivery.key].add((delivery.topic, delivery.partition))
    return (key for key, found in places.items() if len(found) > 1)


# what really happened


def read(*, database_url: str, bootstrap_servers: str, topics: Sequence[str], journals: Iterable[Path] = ()) -> History:
    """The history of everything that ever was on these topics."""
    stored = read_table(database_url, topics)
    return History(
        stored=stored,
        deliveries=read_topics(bootstrap_servers, topics, at_least=_receipts(stored)),
        journal=read_journals(journals),
    )


def _receipts(stored: Iterable[Stored]) -> dict[tuple[str, int], int]:
    """How far each partition must reach, if what is `sent` is there."""
    reach: dict[tuple[str, int], int] = {}
    for event in stored:
        if event.partition is not None and event.offset is not None:
            place = event.topic, event.partition
            reach[place] = max(reach.get(place, 0), event.offset + 1)
    return reach


def read_table(database_url: str, topics: Sequence[str]) -> list[Stored]:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT id, tenant_id, partition_key, (payload->>'sequence')::bigint, status, topic, kafka_partition, "
            "kafka_offset FROM outbox_events WHERE topic = ANY (%s) ORDER BY id",
            [list(topics)],
        ).fetchall()
    return [Stored(*row) for row in rows]


def read_journals(journals: Iterable[Path]) -> dict[int, bool]:
    ends: dict[int, bool] = {}
    for journal in journals:
        for line in journal.read_text().splitlines():
            committed, ids = json.loads(line)
            ends.update(dict.fromkeys(ids, committed))
    return ends


def read_topics(
    bootstrap_servers: str, topics: Sequence[str], *, at_least: Mapping[tuple[str, int], int] | None = None
) -> list[Delivery]:
    """From the very first message to the last one there is now, and `at_least` so far: on a busy broker the end that it
    tells may lag behind. Raises `Incomplete` when the first ones are gone, or when so many do not come.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "proofs",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
    try:
        ends = {place: end for topic in topics for place, end in _ends(consumer, topic)}
        ends |= {place: max(ends[place], end) for place, end in (at_least or {}).items()}
        consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in ends])
        return [_delivery(message) for message in _messages(consumer, ends)]
    finally:
        consumer.close()


def _ends(consumer: Consumer, topic: str) -> Iterator[tuple[tuple[str, int], int]]:
    metadata = consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic]
    for partition in metadata.partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT)
        if low > 0:
            raise Incomplete(f"{topic}[{partition}] begins at {low}: the broker has dropped what was before.")
        if high > 0:
            yield (topic, partition), high


def _messages(consumer: Consumer, ends: Mapping[tuple[str, int], int]) -> Iterator[Message]:
    left = sum(ends.values())
    while left:
        # No more than there are: it waits until it has as many.
        messages = consumer.consume(min(10_000, left), timeout=_TIMEOUT)
        if not messages:
            raise Incomplete(f"Nothing came for {_TIMEOUT} s; {left} messages were not read.")
        for message in messages:
            if (error := message.error()) is not None:
                raise Incomplete(str(error))
            yield message
        left -= len(messages)


def _delivery(message: Message) -> Delivery:
    headers: dict[str, bytes] = dict(message.headers() or [])  # type: ignore[arg-type]
    payload: Any = json.loads(message.value() or b"null")
    tenant = headers["tenant-id"].decode()
    key = (message.key() or b"").decode().removeprefix(f"{tenant}:")
    if key == headers["dedupe-key"].decode():
        key = ""
    return Delivery(
        event_id=int(headers["event-id"]),
        tenant=tenant,
        key=key,
        sequence=int(payload["sequence"]),
        topic=str(message.topic()),
        partition=int(message.partition() or 0),
        offset=int(message.offset() or 0),
        at=message.timestamp()[1] / 1_000,
    )
