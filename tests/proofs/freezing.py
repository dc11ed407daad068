"""A relay that is stopped between two settles, with something to settle; and what its settle could change later."""

from __future__ import annotations

import signal
import time
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from django.db import connection

from outbox.models import OutboxEvent, OutboxLane
from tests.proofs.stage import Stage, sent
from tests.support.processes import ManageProcess

_TIMEOUT = 30.0
_MOST_TRIES = 500


def freeze_before_a_settle(stage: Stage, relay: ManageProcess) -> None:
    """SIGSTOP to the only relay when more is on the topic than it has recorded, outside of any statement: with a
    transaction open it loses its session when its lease ends, and tries nothing late.
    """
    for _ in range(_MOST_TRIES):
        moment = time.time()
        relay.send(signal.SIGSTOP)
        # What it said last to broker and database has to arrive.
        time.sleep(0.05)
        if _states() == {"idle"} and _delivered(stage) > sent():
            stage.kills.append(moment)
            return
        relay.send(signal.SIGCONT)
        time.sleep(0.01)
    raise AssertionError(f"not once in {_MOST_TRIES} stops was there anything to settle")


def receipts() -> dict[int, tuple[Any, ...]]:
    """What a settle writes, by event."""
    rows = OutboxEvent.objects.values_list("id", "status", "kafka_partition", "kafka_offset", "sent_at", "attempts")
    return {row[0]: row[1:] for row in rows.iterator()}


def lane_rows() -> list[dict[str, object]]:
    return [dict(row) for row in OutboxLane.objects.order_by("tenant_id").values()]


def _states() -> set[str]:
    """What the relay's sessions are at."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state FROM pg_stat_activity"
            " WHERE application_name LIKE 'outbox-relay%' AND datname = current_database()"
        )
        return {state for (state,) in cursor.fetchall()}


def _delivered(stage: Stage) -> int:
    """Messages on the topic."""
    reader = Consumer({"bootstrap.servers": stage.bootstrap_servers, "group.id": "proofs"})
    try:
        partitions = reader.list_topics(stage.topic, timeout=_TIMEOUT).topics[stage.topic].partitions
        places = [TopicPartition(stage.topic, number) for number in partitions]
        return sum(reader.get_watermark_offsets(place, timeout=_TIMEOUT)[1] for place in places)
    finally:
        reader.close()
