"""Events of an application that never rests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, connections, transaction

from outbox.api import NewEvent, enqueue_many
from outbox.models import EventStatus, OutboxEvent

TOPIC = "orders"
_PAUSE_SECONDS = 0.02


def commit(count: int, *, topic: str = TOPIC, tenants: int = 3) -> None:
    """One transaction with so many events of several tenants and keys."""
    with transaction.atomic():
        enqueue_many(
            NewEvent(topic=topic, payload={"n": n}, tenant_id=f"tenant-{n % tenants}", partition_key=str(n % 10))
            for n in range(count)
        )


def commit_backlog(count: int, *, topic: str = TOPIC, tenants: int = 10) -> None:
    """The same for so many that no application could have them there at once: written by the database itself."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox_events (tenant_id, topic, partition_key, dedupe_key, payload)"
            " SELECT 'tenant-' || n %% %s, %s, n %% 100, 'backlog-' || n, jsonb_build_object('n', n)"
            " FROM generate_series(1, %s) n",
            [tenants, topic, count],
        )


@contextmanager
def steady(*, batch: int = 50, topic: str = TOPIC) -> Iterator[None]:
    """Commits `batch` events many times a second, from another thread, while the block runs."""
    stopped = threading.Event()
    thread = threading.Thread(target=_commit_until, args=[stopped, batch, topic])
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def sent() -> set[int]:
    return set(OutboxEvent.objects.filter(status=EventStatus.SENT).values_list("id", flat=True))


def all_sent() -> bool:
    return not OutboxEvent.objects.exclude(status=EventStatus.SENT).exists()


def _commit_until(stopped: threading.Event, batch: int, topic: str) -> None:
    try:
        while not stopped.is_set():
            commit(batch, topic=topic)
            time.sleep(_PAUSE_SECONDS)
    finally:
        connections.close_all()
