"""Events to drain, written by SQL: what is measured begins when they stand there."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import LiteralString

import psycopg

PAYLOAD_BYTES = 330

# Tenants take turns, as in traffic; dedupe keys grow with time, as UUIDv7 does.
_SEED = """
INSERT INTO outbox_events (tenant_id, topic, partition_key, dedupe_key, payload)
SELECT 'tenant-' || lpad((i %% %(tenants)s)::text, 5, '0'),
       %(topic)s,
       'order-' || (i / %(tenants)s) %% 50,
       %(prefix)s || lpad(to_hex(i), 24, '0'),
       jsonb_build_object('order', i, 'state', 'created', 'note', repeat('x', %(filler)s - length(i::text)))
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i
"""
_ENVELOPE_BYTES = len('{"note": "", "order": , "state": "created"}')
_CHUNK_BYTES = 200_000_000
_TABLES: tuple[LiteralString, ...] = (
    "outbox_events",
    "outbox_attempts",
    "outbox_lanes",
    "outbox_relays",
    "outbox_tenant_policies",
)
_run = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A backlog: `events` of `payload_bytes` each, dealt out evenly to `tenants`."""

    events: int = 100_000
    tenants: int = 100
    payload_bytes: int = PAYLOAD_BYTES


def seed(database_url: str, load: Load, *, topic: str) -> None:
    """Write the backlog for one topic, and leave the table as a quiet database would have it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        insert(connection, load, topic=topic)
        connection.execute("VACUUM (ANALYZE) outbox_events")
        connection.execute("CHECKPOINT")


def insert(connection: psycopg.Connection, load: Load, *, topic: str, first: int = 0) -> None:
    """Add the load's events, numbered from `first`."""
    chunk = max(1, _CHUNK_BYTES // load.payload_bytes)
    prefix = f"{next(_run):06x}-"
    for start in range(first, first + load.events, chunk):
        last = min(start + chunk, first + load.events) - 1
        place = {"topic": topic, "prefix": prefix, "first": start, "last": last}
        connection.execute(_SEED, {**_parameters(load), **place})


def empty(database_url: str) -> None:
    """Forget every event, lane and relay, so that a round does not pay for the rounds before it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {', '.join(_TABLES)}")
        connection.execute("VACUUM (ANALYZE) outbox_events")


def _parameters(load: Load) -> dict[str, int]:
    return {"tenants": load.tenants, "filler": max(20, load.payload_bytes - _ENVELOPE_BYTES)}
