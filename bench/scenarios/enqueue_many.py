"""`enqueue_many` beside COPY of the same Python dicts into the same table; both have to write the JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, connections, transaction

from bench import load
from bench.measure import ratios
from bench.report import Figure, at_least
from bench.rounds import Options
from bench.servers import Servers
from bench.traffic import payload
from outbox.api import NewEvent, enqueue_many

_EVENTS = 100_000
_COPY = "COPY outbox_events (tenant_id, topic, partition_key, dedupe_key, payload) FROM STDIN"


def run(servers: Servers, options: Options) -> list[Figure]:
    """One transaction each."""
    events = [_event(number) for number in range(options.shortened(_EVENTS))]
    copied: list[float] = []
    enqueued: list[float] = []
    for _ in range(options.rounds):
        copied.append(_rate(servers, _copy, events))
        enqueued.append(_rate(servers, _enqueue, events))
        print(f"    COPY {copied[-1]:,.0f} events/s, enqueue_many {enqueued[-1]:,.0f} events/s", flush=True)
    connections.close_all()
    return [
        Figure(what="enqueue_many: COPY, events/s", samples=copied),
        Figure(what="enqueue_many: events/s", samples=enqueued),
        Figure(
            key="enqueue_many_ratio",
            what="enqueue_many: to COPY",
            samples=ratios(enqueued, copied),
            asked=at_least(0.5),
        ),
    ]


def _rate(servers: Servers, way: Callable[[list[dict[str, Any]]], None], events: list[dict[str, Any]]) -> float:
    load.empty(servers.database_url)
    connection.ensure_connection()
    begin = time.perf_counter()
    with transaction.atomic():
        way(events)
    return len(events) / (time.perf_counter() - begin)


def _enqueue(events: list[dict[str, Any]]) -> None:
    enqueue_many(NewEvent(**event) for event in events)


def _copy(events: list[dict[str, Any]]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for event in events:
            copy.write_row(
                (
                    event["tenant_id"],
                    event["topic"],
                    event["partition_key"],
                    event["dedupe_key"],
                    json.dumps(event["payload"]),
                )
            )


def _event(number: int) -> dict[str, Any]:
    return {
        "topic": "bench-enqueue-many",
        "tenant_id": f"tenant-{number % 100}",
        "partition_key": f"order-{number % 50}",
        "dedupe_key": f"order-{number:09}-created",
        "payload": payload(number),
    }
