"""An event as a line for a shell, that sends what a relay would send: to try a consumer, or to repair by hand."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from outbox.kafka.message import EPOCH_OFFSET, Header, constant_headers, event_headers, message_key

BROKERS = '"$KAFKA_BOOTSTRAP_SERVERS"'
REST_PROXY = '"$KAFKA_REST_URL"'
"""Of a Confluent REST proxy, down to its cluster: `http://localhost:8082/v3/clusters/<id>`."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a relay sends for an event."""

    topic: str
    key: str
    headers: tuple[Header, ...]
    value: str


def message(
    *,
    event_id: int,
    tenant_id: str,
    topic: str,
    partition_key: str,
    dedupe_key: str,
    created_at: datetime,
    attempts: int,
    headers: Any,
    payload: Any,
) -> Message:
    """The message of an event with these headers and this payload."""
    created_us = (created_at - _EPOCH) // timedelta(microseconds=1) - EPOCH_OFFSET
    own = event_headers(constant_headers(tenant_id), dedupe_key, event_id, created_us, attempts)
    others = headers.items() if isinstance(headers, Mapping) else ()
    return Message(
        topic=topic,
        key=message_key(tenant_id, partition_key, dedupe_key),
        headers=(*own, *((name, str(value)) for name, value in others)),
        value=json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
    )


def kcat(sent: Message) -> str:
    """A pipe into `kcat`. The payload comes from a builtin of the shell, so that no limit on arguments applies."""
    headers = " ".join(f"-H {shlex.quote(f'{name}={value}')}" for name, value in sent.headers)
    topic, key = shlex.quote(sent.topic), shlex.quote(sent.key)
    return f"printf '%s' {shlex.quote(sent.value)} | kcat -P -b {BROKERS} -t {topic} -k {key} {headers}"


def curl(sent: Message) -> str:
    """A pipe into `curl`, to a REST proxy's records of the topic."""
    headers = ",".join(
        json.dumps({"name": name, "value": base64.b64encode(value.encode()).decode()}, ensure_ascii=False)
        for name, value in sent.headers
    )
    # The value stands as it is sent: written once more, a number could become another.
    key = json.dumps({"type": "STRING", "data": sent.key}, ensure_ascii=False)
    record = f'{{"key":{key},"headers":[{headers}],"value":{{"type":"JSON","data":{sent.value}}}}}'
    url = f"{REST_PROXY}{shlex.quote(f'/topics/{sent.topic}/records')}"
    return (
        f"printf '%s' {shlex.quote(record)} | "
        f"curl --fail-with-body -H 'Content-Type: application/json' --data-binary @- {url}"
    )
