"""What `enqueue` costs a transaction, beside `OutboxEvent.objects.create` of the same row."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.db import connections, transaction

from bench import load
from bench.report import Figure, at_most
from bench.rounds import Options
from bench.servers import Servers
from bench.traffic import payload
from outbox.api import enqueue
from outbox.models import OutboxEvent

_TRANSACTIONS = 2_000
_WARM_UP = 100
# A disk that was busy for others would decide a mean.
_SLOWEST_LEFT_OUT = 0.02


def run(servers: Servers, options: Options) -> list[Figure]:
    """Transactions with nothing else in them, one of each kind in turn, wake-ups included."""
    created: list[float] = []
    enqueued: list[float] = []
    for _ in range(options.rounds):
        load.empty(servers.database_url)
        by_orm, by_api = _round(options.shortened(_TRANSACTIONS))
        created.append(by_orm)
        enqueued.append(by_api)
        print(f"    create {by_orm:.3f} ms, enqueue {by_api:.3f} ms", flush=True)
    connections.close_all()
    return [
        Figure(what="enqueue: transaction with objects.create, ms", samples=created),
        Figure(what="enqueue: transaction with enqueue, ms", samples=enqueued),
        Figure(
            key="enqueue_ratio",
            what="enqueue: time to objects.create",
            samples=[api / orm for api, orm in zip(enqueued, created, strict=True)],
            asked=at_most(1.15),
        ),
    ]


def _round(transactions: int) -> tuple[float, float]:
    by_orm: list[float] = []
    by_api: list[float] = []
    for number in range(_WARM_UP + transactions):
        ways = [(_create, by_orm), (_enqueue, by_api)]
        for way, times in ways if number % 2 else reversed(ways):
            times.append(_timed(way, _row(number)))
    return _mean(by_orm[_WARM_UP:]), _mean(by_api[_WARM_UP:])


def _timed(way: Callable[[dict[str, Any]], None], row: dict[str, Any]) -> float:
    begin = time.perf_counter()
    with transaction.atomic():
        way(row)
    return (time.perf_counter() - begin) * 1_000


def _create(row: dict[str, Any]) -> None:
    OutboxEvent.objects.create(**row)


def _enqueue(row: dict[str, Any]) -> None:
    enqueue(**row)


def _row(number: int) -> dict[str, Any]:
    return {
        "topic": "bench-enqueue",
        "tenant_id": f"tenant-{number % 100}",
        "partition_key": f"order-{number % 50}",
        "dedupe_key": str(uuid.uuid4()),
        "payload": payload(number),
        "headers": {"source": "shop"},
    }


def _mean(times: list[float]) -> float:
    kept = sorted(times)[: round(len(times) * (1 - _SLOWEST_LEFT_OUT))]
    return statistics.fmean(kept)
