"""An application at work: transactions with one event each, at a steady rate, and a consumer that waits for them."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from confluent_kafka import Consumer, Message, TopicPartition
from django.db import transaction

from bench.broker import PARTITIONS
from bench.load import PAYLOAD_BYTES
from outbox.api import enqueue
from outbox.kafka.message import DEDUPE_KEY

_LONGEST_WAIT = 30.0


@dataclass(slots=True)
class Journal:
    """When each event was committed and received, in seconds since 1970, by dedupe key."""

    committed: dict[str, float] = field(default_factory=dict)
    received: dict[str, float] = field(default_factory=dict)

    def latencies_ms(self) -> list[float]:
        """From the return of the commit to the consumer, in milliseconds, in the order of the commits."""
        return [(self.received[key] - at) * 1_000 for key, at in self.committed.items()]

    def wait_until_all_received(self) -> None:
        deadline = time.monotonic() + _LONGEST_WAIT
        while missing := self.committed.keys() - self.received.keys():
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(missing)} events have not arrived after {_LONGEST_WAIT:.0f} s.")
            time.sleep(0.01)


def commit_steadily(journal: Journal, *, topic: str, tenants: Sequence[str], per_second: float, seconds: float) -> None:
    """Open loop: a slow system gets no fewer events. The tenants take turns."""
    begin = time.monotonic()
    for number in range(round(per_second * seconds)):
        time.sleep(max(0.0, begin + number / per_second - time.monotonic()))
        _commit_one(journal, topic=topic, tenant=tenants[number % len(tenants)], number=number)


@contextmanager
def consuming(journal: Journal, *, bootstrap_servers: str, topic: str) -> Iterator[None]:
    """Note the arrival of every message of the topic for the time of the block."""
    done = threading.Event()
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": f"bench-{uuid.uuid4()}"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    thread = threading.Thread(target=_consume, args=[consumer, journal, done])
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        consumer.close()


def _commit_one(journal: Journal, *, topic: str, tenant: str, number: int) -> None:
    key = str(uuid.uuid4())
    with transaction.atomic():
        # Registered before the outbox's own hook, so that its NOTIFY is inside the time measured.
        transaction.on_commit(lambda: journal.committed.setdefault(key, time.time()))
        enqueue(
            topic=topic,
            payload=payload(number),
            tenant_id=tenant,
            partition_key=f"order-{number % 50}",
            dedupe_key=key,
        )


def payload(number: int) -> dict[str, object]:
    """As large as those of the backlogs."""
    body: dict[str, object] = {"order": number, "state": "created", "note": ""}
    return {**body, "note": "x" * (PAYLOAD_BYTES - len(json.dumps(body)))}


def _consume(consumer: Consumer, journal: Journal, done: threading.Event) -> None:
    while not done.is_set():
        message = consumer.poll(0.1)
        now = time.time()
        if message is not None and message.error() is None:
            journal.received.setdefault(_dedupe_key(message), now)


def _dedupe_key(message: Message) -> str:
    headers = dict(message.headers() or [])
    value = headers[DEDUPE_KEY]
    return value.decode() if isinstance(value, bytes) else str(value)
