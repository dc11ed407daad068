"""Pages of the console over a million events: requests as a browser makes them, but for the network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import psycopg
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client
from django.test.utils import override_settings

from bench import load
from bench.measure import percentile
from bench.report import Figure, at_most
from bench.rounds import Options
from bench.servers import Servers
from circuits.models import StaffTenantScope
from outbox.operations import backlog

_EVENTS = 1_000_000
_TENANTS = (10, 10_000)
_REQUESTS = 40
_OWN_TENANTS = 8
_LISTS = "/admin/outbox/outboxevent/"

# Nine in ten were sent, one in ten thousand is for a rare topic; times go back half a day, as numbers do.
_EVENTS_OF = """
INSERT INTO outbox_events (tenant_id, topic, partition_key, dedupe_key, payload, status, attempts, available_at,
                           error_class, last_error, created_at, sent_at, kafka_partition, kafka_offset)
SELECT 'tenant-' || lpad((i %% %(tenants)s)::text, 5, '0'),
       CASE WHEN i %% 10007 = 0 THEN 'rare' ELSE 'orders' END,
       'order-' || (i / %(tenants)s) %% 50,
       'bench-' || lpad(to_hex(i), 24, '0'),
       jsonb_build_object('order', i, 'password', 'x', 'note', repeat('x', 280)),
       status,
       CASE WHEN status IN ('failed', 'scheduled') THEN 3 ELSE 0 END,
       CASE WHEN status = 'scheduled' THEN now() + interval '1 day' END,
       CASE WHEN status IN ('failed', 'scheduled') THEN CASE WHEN i %% 1009 = 0 THEN 'poison' ELSE 'topic' END
            ELSE '' END,
       CASE WHEN status = 'failed' THEN 'Unknown topic' ELSE '' END,
       now() - interval '12 hours' * (1 - i / %(events)s::float8),
       CASE WHEN status = 'sent' THEN now() END,
       CASE WHEN status = 'sent' THEN i %% 12 END,
       CASE WHEN status = 'sent' THEN i END
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i
CROSS JOIN LATERAL (
    SELECT CASE WHEN i / 7 %% 100 < 90 THEN 'sent' WHEN i / 7 %% 100 < 95 THEN 'pending'
                WHEN i / 7 %% 100 < 98 THEN 'failed' WHEN i / 7 %% 100 < 99 THEN 'scheduled' ELSE 'discarded' END
) AS drawn (status)
"""
_ATTEMPTS = """
INSERT INTO outbox_attempts (event_id, at, relay_id, error_class, code, message)
SELECT id, created_at, gen_random_uuid(), error_class, 3, 'Unknown topic'
FROM outbox_events, generate_series(1, attempts) ORDER BY id
"""
_LANES_OF = """
INSERT INTO outbox_lanes (tenant_id)
SELECT 'tenant-' || lpad(i::text, 5, '0') FROM generate_series(0, %(tenants)s - 1) i
"""
# All that is kept: two hours of minutes and a day of quarters, of all together and of as many tenants as have rows.
_MINUTES_OF = """
INSERT INTO outbox_minutes (tenant_id, step, minute, sent, failed, waiting, latency)
SELECT tenant_id, step, date_bin(step * interval '1 minute', now(), '2000-01-01') - n * step * interval '1 minute',
       1000, 3, 50, array_fill(40::bigint, ARRAY[24])
FROM (SELECT '*' AS tenant_id
      UNION ALL
      SELECT 'tenant-' || lpad(i::text, 5, '0') FROM generate_series(0, least(%(tenants)s, 1000) - 1) i) of
CROSS JOIN (VALUES (1, 120), (15, 100)) AS kept (step, rows)
CROSS JOIN LATERAL generate_series(0, rows) n
"""
_CHUNK = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """One kind of page, and the addresses that stand for it."""

    key: str
    what: str
    limit_ms: float
    paths: tuple[str, ...]
    limited: bool = False
    """Whether it is asked for by staff limited to some tenants."""


def run(servers: Servers, options: Options) -> list[Figure]:
    """A table for few tenants, then one for many; p95 of each kind of page, in milliseconds."""
    events = options.shortened(max(_EVENTS, options.events))
    figures: list[Figure] = []
    # As in production: in development Django keeps every statement.
    with override_settings(DEBUG=False, ALLOWED_HOSTS=["testserver"]):
        clients = {limited: _staff(limited=limited) for limited in (False, True)}
        for tenants in _TENANTS:
            figures += _measured(servers, clients, options, events=events, tenants=tenants)
    load.empty(servers.database_url)
    connections.close_all()
    return figures


def _measured(
    servers: Servers, clients: dict[bool, Client], options: Options, *, events: int, tenants: int
) -> Iterator[Figure]:
    began = time.perf_counter()
    _seed(servers.database_url, events=events, tenants=tenants)
    print(f"    {events:,} events of {tenants:,} tenants in {time.perf_counter() - began:.0f} s", flush=True)
    for page in _pages(servers.database_url):
        client, requests = clients[page.limited], options.shortened(_REQUESTS)
        rounds = [_asked(client, page, requests=requests) for _ in range(options.rounds)]
        samples = [percentile([taken for _, taken in found], 0.95) for found in rounds]
        slowest, taken = max((each for found in rounds for each in found), key=lambda each: each[1])
        print(
            f"    {page.what}: {min(samples):.0f} to {max(samples):.0f} ms, at most {taken:.0f} for {slowest}",
            flush=True,
        )
        yield Figure(
            key=f"console_{page.key}_{tenants}_p95_ms",
            what=f"console: {page.what}, {tenants:,} tenants, p95 ms",
            samples=samples,
            asked=at_most(page.limit_ms),
        )


def _staff(*, limited: bool) -> Client:
    """Somebody who may see everything, or everything of a few tenants."""
    user = User.objects.create_user("limited" if limited else "bench", is_staff=True, is_superuser=not limited)
    if limited:
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="outbox"))
        tenants = [f"tenant-{number:05}" for number in range(_OWN_TENANTS)]
        StaffTenantScope.objects.bulk_create(StaffTenantScope(user=user, tenant_id=each) for each in tenants)
    client = Client()
    client.force_login(user)
    return client


def _pages(database_url: str) -> Iterator[_Page]:
    """The busiest tenant and an event in the middle stand for all."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT min(id), max(id) FROM outbox_events").fetchone()
    assert row is not None
    first, last = row
    numbers = [first + (last - first) * step // 20 for step in range(20)]
    tenant = {"tenant": "tenant-00007"}
    yield _Page(key="overview", what="overview", limit_ms=120, paths=("/admin/outbox/overview/", "/admin/"))
    yield _Page(
        key="list",
        what="list of events",
        limit_ms=150,
        paths=_lists(
            {},
            {"status__exact": "failed"},
            {"status__exact": "sent"},
            tenant,
            {**tenant, "status__exact": "sent"},
            {"after": str(first + (last - first) // 2)},
        ),
    )
    yield _Page(
        key="rare",
        what="list by a rare filter",
        limit_ms=300,
        paths=_lists(
            {"topic": "rare"},
            {"topic": "unheard-of"},
            {**tenant, "topic": "unheard-of"},
            {"status__exact": "sent", "topic": "rare"},
            {"status__exact": "failed", "topic": "rare"},
            {"error_class": "poison"},
            {**tenant, "status__exact": "sent", "older_than": "1h", "topic": "rare"},
            {**tenant, "partition_key": "order-17"},
            {**tenant, "dedupe_key": "nothing"},
            {"older_than": "1d"},
        ),
    )
    yield _Page(
        key="detail",
        what="page of an event",
        limit_ms=80,
        paths=tuple(f"{_LISTS}{number}/change/" for number in numbers),
    )
    yield _Page(
        key="limited",
        what="lists of limited staff",
        limit_ms=150,
        paths=(_LISTS, "/admin/outbox/outboxattempt/", *_lists({"status__exact": "failed"}, tenant)),
        limited=True,
    )


def _lists(*queries: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{_LISTS}?{urlencode(query)}" for query in queries)


def _asked(client: Client, page: _Page, *, requests: int) -> list[tuple[str, float]]:
    """Every address in turn, after once that is not counted."""
    for path in page.paths:
        _milliseconds(client, path)
    turns = max(requests, 2 * len(page.paths))
    paths = [page.paths[turn % len(page.paths)] for turn in range(turns)]
    return [(path, _milliseconds(client, path)) for path in paths]


def _milliseconds(client: Client, path: str) -> float:
    began = time.perf_counter()
    response: Any = client.get(path)
    taken = (time.perf_counter() - began) * 1_000
    assert response.status_code == 200, f"{path}: {response.status_code}"
    return taken


def _seed(database_url: str, *, events: int, tenants: int) -> None:
    """What a busy day leaves, counted."""
    load.empty(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("TRUNCATE outbox_minutes, outbox_tenant_backlogs")
        for first in range(1, events + 1, _CHUNK):
            last = min(first + _CHUNK - 1, events)
            connection.execute(_EVENTS_OF, {"first": first, "last": last, "tenants": tenants, "events": events})
        connection.execute(_ATTEMPTS)
        connection.execute(_LANES_OF, {"tenants": tenants})
        connection.execute(_MINUTES_OF, {"tenants": tenants})
        connection.execute("VACUUM (ANALYZE) outbox_events, outbox_attempts, outbox_lanes, outbox_minutes")
        connection.execute("CHECKPOINT")
    backlog.snapshot(refresh_if_older_than=timedelta(0))
