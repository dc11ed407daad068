"""The steps of a bare loop: fetch, produce, settle, with the product's statements, table and settings.

Nothing here is fair, fenced, retried or safe from a crash. A failed delivery ends the process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import psycopg
from confluent_kafka import KafkaError, Message, Producer
from psycopg.types.numeric import Int8BinaryLoader

from outbox import sql

_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_INLINE_BYTES = 1_000_000
_CONTENT_TYPE = ("content-type", b"application/json")
_FIRST_ATTEMPT = ("attempt", b"1")

Row = tuple[int, int, str, str, str, str, int, int, str | None, int]
Lane = tuple[str, int, int]
_lane_of = itemgetter(0)


@dataclass(slots=True)
class Batch:
    """Events on their way, and the receipts that have come back for them, in order of arrival."""

    tenants: list[str]
    rows: list[Row]
    ids: list[int] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def is_acknowledged(self) -> bool:
        return len(self.ids) == len(self.rows)


class Backlog:
    """What is pending, read lane by lane past a cursor; every lane gets an equal share of a batch."""

    def __init__(self, database_url: str) -> None:
        connection = connect(database_url)
        # Microseconds since 2000: a datetime for each event would cost more than its fetch.
        connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
        self._cursor = connection.cursor(binary=True)
        self._statement = sql.load("fetch")
        names = "SELECT DISTINCT tenant_id FROM outbox_events WHERE status = 'pending' ORDER BY 1"
        self._lanes: list[Lane] = [(name, 0, 0) for (name,) in connection.execute(names)]

    def fetch(self, size: int) -> Batch | None:
        """The next batch; None when every lane is dry."""
        while self._lanes:
            lanes, self._lanes = self._lanes[:size], self._lanes[size:]
            rows = self._read(lanes, size)
            if rows:
                return Batch(tenants=[name for name, _, _ in lanes], rows=rows)
        return None

    def _read(self, lanes: list[Lane], size: int) -> list[Row]:
        share, rest = divmod(size, len(lanes))
        quotas = [share + 1] * rest + [share] * (len(lanes) - rest)
        names, after_us, after_id = zip(*lanes, strict=True)
        rows: list[Row] = self._cursor.execute(
            self._statement,
            {
                "tenants": array(names),
                "after_us": array(after_us),
                "after_id": array(after_id),
                "quotas": array(quotas),
                "inline": _INLINE_BYTES,
            },
        ).fetchall()
        self._lanes += _advanced(lanes, quotas, rows)
        return rows


class Outlet:
    """The way to Kafka: the product's messages through a producer with the product's settings."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self._seconds: dict[int, str] = {}
        self._tenant_headers: dict[str, tuple[str, bytes]] = {}

    def produce(self, batch: Batch) -> None:
        """Hand every event of the batch to librdkafka, which sends it while we go on."""
        produce, tenants, headers = self.producer.produce, batch.tenants, self._headers
        add = partial(_add_receipt, batch.ids.append, batch.partitions.append, batch.offsets.append)
        for lane, event_id, topic, dedupe_key, key, payload, created_us, _, _, _ in batch.rows:
            tenant = tenants[lane - 1]
            produce(
                topic,
                payload,
                f"{tenant}:{key or dedupe_key}",
                on_delivery=partial(add, event_id),
                headers=headers(tenant, dedupe_key, event_id, created_us),
            )

    def _headers(self, tenant: str, dedupe_key: str, event_id: int, created_us: int) -> list[tuple[str, Any]]:
        seconds, micros = divmod(created_us, 1_000_000)
        return [
            self._tenant_headers.get(tenant) or self._remember_tenant(tenant),
            ("dedupe-key", dedupe_key),
            ("event-id", str(event_id)),
            (
                "event-created-at",
                f"{self._seconds.get(seconds) or self._remember(seconds)}.{micros:06d}+00:00",
            ),
            _FIRST_ATTEMPT,
            _CONTENT_TYPE,
        ]

    def _remember_tenant(self, tenant: str) -> tuple[str, bytes]:
        header = self._tenant_headers[tenant] = ("tenant-id", tenant.encode())
        return header

    def _remember(self, seconds: int) -> str:
        moment = _POSTGRES_EPOCH + timedelta(seconds=seconds)
        text = self._seconds[seconds] = moment.strftime("%Y-%m-%dT%H:%M:%S")
        return text


class Ledger:
    """Writes receipts back."""

    def __init__(self, database_url: str) -> None:
        self._cursor = connect(database_url).cursor()
        self._statement = sql.load("settle_sent")

    def settle(self, batch: Batch) -> None:
        """Mark the batch's events as sent, with their receipts."""
        self._cursor.execute(
            self._statement,
            {"ids": array(batch.ids), "partitions": array(batch.partitions), "offsets": array(batch.offsets)},
        )
        if self._cursor.rowcount != len(batch.ids):
            raise SystemExit(f"{len(batch.ids)} events settled, {self._cursor.rowcount} rows found.")


def connect(database_url: str) -> psycopg.Connection[Any]:
    """A session as the relay has them: prepared statements, no wait for the disk at commit, no JIT."""
    connection = psycopg.connect(database_url, autocommit=True, prepare_threshold=0)
    connection.execute("SET synchronous_commit = off")
    connection.execute("SET jit = off")
    return connection


def array(values: Any) -> str:
    """The text form of an array of numbers or plain names; psycopg needs ten times as long for a list."""
    return "{" + ",".join(map(str, values)) + "}"


def _advanced(lanes: list[Lane], quotas: list[int], rows: list[Row]) -> list[Lane]:
    """The lanes that returned all they were asked for, behind what they returned; the others are dry."""
    advanced = []
    for number, of_lane in groupby(rows, key=_lane_of):
        events = list(of_lane)
        if len(events) == quotas[number - 1]:
            advanced.append((lanes[number - 1][0], events[-1][6], events[-1][1]))
    return advanced


def _add_receipt(
    add_id: Any,
    add_partition: Any,
    add_offset: Any,
    event_id: int,
    error: KafkaError | None,
    message: Message,
) -> None:
    if error is not None:
        raise SystemExit(f"Event {event_id} was not delivered: {error}.")
    add_id(event_id)
    add_partition(message.partition())
    add_offset(message.offset())
