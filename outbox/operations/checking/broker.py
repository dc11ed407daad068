"""Whether the broker answers, and has the topics that events wait for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from django.db import connections

from outbox import sql
from outbox.kafka.config import client_config
from outbox.kafka.metadata import MetadataClient
from outbox.operations.backlog import Backlog
from outbox.operations.checking.finding import Finding, error, ok, warning
from outbox.operations.quick import quick

MOST_TENANTS = 200
EVENTS_OF_EACH = 100
MOST_TOPICS = 100
PATIENCE_SECONDS = 1.0
"""A broker that creates topics calls them unknown at first."""
AGAIN_SECONDS = 0.1

_REFUSALS = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: ("is missing", "create it, or discard its events"),
    KafkaError.TOPIC_EXCEPTION: ("has a name that the broker refuses", "discard its events"),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: ("is forbidden", "allow the relays' principal to write to it"),
}


def broker(alias: str, counted: Backlog | None) -> Iterator[Finding]:
    """`counted`: for whose topics to look; None without a database."""
    config = client_config()
    with closing(MetadataClient(config)) as client:
        if not client.probe():
            servers = config.get("bootstrap.servers", "")
            yield error("broker", f"no answer from {servers}", "is it up, and its address and credentials right?")
            return
        yield ok("broker", "answers")
        if counted is not None:
            yield from _topics(client, _waiting(alias, counted))


def _waiting(alias: str, counted: Backlog) -> list[str]:
    tenants = [each.tenant_id for each in counted.tenants if each.pending or each.scheduled][:MOST_TENANTS]
    params: dict[str, Any] = {"tenants": tenants, "events": EVENTS_OF_EACH, "most": MOST_TOPICS}
    with quick(alias), connections[alias].cursor() as cursor:
        cursor.execute(sql.load("topics_waiting"), params)
        return [topic for (topic,) in cursor.fetchall()]


def _topics(client: MetadataClient, topics: Sequence[str]) -> Iterator[Finding]:
    bad = 0
    for topic in topics:
        code = _ask(client, topic)
        if code:
            bad += 1
            what, hint = _REFUSALS.get(code, ("has no leader at present", "wait for the broker, or look at its log"))
            yield (error if code in _REFUSALS else warning)("topics", f"topic {topic!r} {what}", hint)
    if not bad:
        yield ok("topics", f"{len(topics)} with events waiting, all there" if topics else "none has events waiting")


def _ask(client: MetadataClient, topic: str) -> int:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            code = client.ask(topic)
        except KafkaException:
            code = KafkaError.LEADER_NOT_AVAILABLE
        known = code in (0, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TOPIC_EXCEPTION)
        if known or time.monotonic() >= until:
            return code
        time.sleep(AGAIN_SECONDS)
