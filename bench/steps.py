"""The steps of a bare loop, with the product's statements, sessions, messages and settings.

Nothing here is fair, fenced, retried or safe from a crash. A failed delivery ends the process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from outbox import conf, sql
from outbox.kafka.config import client_config, producer_config
from outbox.kafka.message import EPOCH_OFFSET, constant_headers
from outbox.relay.session import connect, numbers

_INLINE_BYTES = 1_000_000
PATIENCE = 30.0
_lane_of = itemgetter(0)

Row = tuple[Any, ...]
Lane = tuple[str, int, int]
"""A tenant and its cursor: created (microseconds since 2000) and id of the last event read."""


@dataclass(slots=True)
class Batch:
    """Events on their way, and the receipts that have come back for them, in order of arrival."""

    events: int
    lanes: list[tuple[str, list[Row]]]
    ids: list[int] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)


class Backlog:
    """What is pending, lane by lane past a cursor; lanes that are not dry share a batch equally."""

    def __init__(self) -> None:
        connection = connect("bench fetch")
        self._cursor = connection.cursor(binary=True)
        self._statement = sql.load("fetch")
        names = "SELECT DISTINCT tenant_id FROM outbox_events WHERE status = 'pending' ORDER BY 1"
        self._lanes: list[Lane] = [(name, 0, 0) for (name,) in connection.execute(names)]

    def fetch(self, size: int) -> Batch | None:
        """The next batch; None when every lane is dry."""
        while self._lanes:
            lanes, self._lanes = self._lanes[:size], self._lanes[size:]
            share, rest = divmod(size, len(lanes))
            quotas = [share + 1] * rest + [share] * (len(lanes) - rest)
            rows = self._read(lanes, quotas)
            if rows:
                found = [(number - 1, list(of_lane)) for number, of_lane in groupby(rows, key=_lane_of)]
                self._lanes += [_behind(lanes[at], rows) for at, rows in found if len(rows) == quotas[at]]
                return Batch(len(rows), [(lanes[at][0], rows) for at, rows in found])
        return None

    def _read(self, lanes: list[Lane], quotas: list[int]) -> list[Row]:
        parameters = {
            "tenants": [tenant for tenant, _, _ in lanes],
            "after_us": numbers([created for _, created, _ in lanes]),
            "after_id": numbers([event_id for _, _, event_id in lanes]),
            "quotas": numbers(quotas),
            "inline": _INLINE_BYTES,
        }
        return self._cursor.execute(self._statement, parameters).fetchall()


class Outlet:
    """The way to Kafka."""

    def __init__(self) -> None:
        settings = conf.get()
        config = producer_config(
            base=client_config(),
            delivery_timeout=settings.delivery_timeout_seconds,
            message_timeout=settings.message_timeout_seconds,
        )
        self._producer = Producer(config)
        self.poll: Callable[[float], int] = self._producer.poll
        self.flush: Callable[[float], int] = self._producer.flush

    def warm(self) -> None:
        """Connect, and be given the idempotent producer's id, which otherwise delays the first batch."""
        for _ in range(3):
            self._producer.list_topics(timeout=PATIENCE)
            self.poll(0.2)

    def produce(self, batch: Batch) -> None:
        """Hand every event of the batch to librdkafka, which sends it while we go on."""
        produce, report = self._producer.produce, _receipts_into(batch)
        for tenant, rows in batch.lanes:
            prefix = tenant + ":"
            tenant_header, attempt_header, content_type = constant_headers(tenant)
            for _, event_id, topic, dedupe_key, key, payload, created, _, _, _ in rows:
                produce(
                    topic,
                    payload,
                    prefix + (key or dedupe_key),
                    -1,
                    partial(report, event_id),
                    None,
                    0,
                    [
                        tenant_header,
                        ("dedupe-key", dedupe_key),
                        ("event-id", str(event_id)),
                        ("event-created-at", str(created + EPOCH_OFFSET)),
                        attempt_header,
                        content_type,
                    ],
                )


class Ledger:
    """Writes receipts back."""

    def __init__(self) -> None:
        self._cursor = connect("bench settle").cursor()
        self._statement = sql.load("settle_sent")

    def settle(self, batch: Batch) -> None:
        """Mark the batch's events as sent, with their receipts."""
        receipts = {
            "ids": numbers(batch.ids),
            "partitions": numbers(batch.partitions),
            "offsets": numbers(batch.offsets),
        }
        self._cursor.execute(self._statement, receipts)
        if self._cursor.rowcount != batch.events:
            raise SystemExit(f"{batch.events} events in the batch, {self._cursor.rowcount} settled.")


def _behind(lane: Lane, rows: list[Row]) -> Lane:
    last = rows[-1]
    return lane[0], last[6], last[1]


def _receipts_into(batch: Batch) -> Callable[[int, KafkaError | None, Message], None]:
    add_id, add_partition, add_offset = batch.ids.append, batch.partitions.append, batch.offsets.append

    def report(event_id: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise SystemExit(f"Event {event_id} was not delivered: {error}.")
        add_id(event_id)
        add_partition(message.partition())  # type: ignore[arg-type]  # a delivered message has both
        add_offset(message.offset())  # type: ignore[arg-type]

    return report
