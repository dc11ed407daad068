"""What a long backlog and a pinned snapshot cost: next to nothing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection

from bench.measure import percentile
from outbox import sql
from outbox.relay.fetch import fetch
from outbox.relay.session import Connection, connect, query
from outbox.relay.supervisor import spare_the_collector
from outbox.relay.tenure import Tenure
from outbox.relay.watch import LAST_NAME
from tests.proofs.sizes import SLOW, size
from tests.proofs.stage import Stage, all_sent, forget_everything, sent
from tests.proofs.verdicts import Claim, judge, least, most
from tests.support.waiting import wait_until

LANES = 1_000
QUANTUM = 4


class Costs:
    """What a relay pays to find, claim and first read lanes, on a backlog that nobody drains."""

    def __init__(self, *, events: int, tenants: int, quantum: int) -> None:
        forget_everything()
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO outbox_events (tenant_id, topic, partition_key, dedupe_key, payload)"
                " SELECT 'tenant-' || lpad((n %% %s)::text, 5, '0'), 'orders', 'k' || n %% 50, 'event-' || n,"
                " jsonb_build_object('sequence', n, 'filler', repeat('x', 330)) FROM generate_series(1, %s) n",
                [tenants, events],
            )
            cursor.execute("VACUUM (ANALYZE) outbox_events")
        self._events, self._tenants, self._quantum = events, tenants, quantum
        self._names = [f"tenant-{number:05}" for number in range(min(tenants, LANES))]
        self.lanes = len(self._names)
        self.discovery: list[float] = []
        self.claim_and_fetch: list[float] = []

    def measure(self, *, times: int) -> Costs:
        session = connect("proof")
        try:
            for _ in range(times):
                self.discovery.append(_timed(lambda: _discover(session)))
                self.claim_and_fetch.append(self._claim_and_fetch(session))
        finally:
            session.close()
        return self

    def to(self, other: Costs, share: float) -> float:
        """What a claim and fetch costs here to what it costs there."""
        return percentile(self.claim_and_fetch, share) / percentile(other.claim_and_fetch, share)

    def claims(self) -> list[Claim]:
        """What it costs, p95."""
        where = f"{self._tenants:,} tenants, {self._events:,} pending"
        claim_and_fetch, discovery = (percentile(each, 0.95) * 1_000 for each in (self.claim_and_fetch, self.discovery))
        # However few the lanes are, it takes two statements.
        allowed = max(2.0, 0.05 * self.lanes)
        return [
            most("F8", f"claim + fetch of {self.lanes:,} lanes, p95, {where}, ms", claim_and_fetch, allowed),
            most("F8", f"discovery, p95, {where}, ms", discovery, 5 + 0.01 * self._tenants),
        ]

    def _claim_and_fetch(self, session: Connection) -> float:
        tenure = Tenure(connection=session, relay_id=uuid.uuid4(), db_now=lambda now: 0)
        now = time.monotonic()
        tenure.offer(self._names, now=now)

        def run() -> None:
            lanes = tenure.claim(self._names, limit=LANES, now=now)
            found = fetch(session, lanes, [self._quantum] * len(lanes))
            assert len(found) == len(lanes) == self.lanes

        seconds = _timed(run)
        query(session, "UPDATE outbox_lanes SET owner = NULL, leased_until = NULL WHERE owner IS NOT NULL")
        return seconds


def _discover(session: Connection) -> None:
    query(session, sql.load("scan"), {"after": [""], "before": [LAST_NAME], "limit": 100_000})


def _timed(run: Callable[[], None]) -> float:
    began = time.monotonic()
    run()
    return time.monotonic() - began


@pytest.mark.timeout(1_200)
@pytest.mark.usefixtures("transactional_db", "collector")
def test_f8_finding_and_claiming_cost_what_the_lanes_cost_and_not_what_the_backlog_is() -> None:
    spare_the_collector()
    times = size(15, 60)
    claims: list[Claim] = []
    for tenants in (10, size(1_000, 10_000)):
        few = size(5_000, 10_000)
        # No more of a lane than it has in either.
        quantum = min(QUANTUM, few // tenants)
        small = Costs(events=few, tenants=tenants, quantum=quantum).measure(times=times)
        large = Costs(events=size(100_000, 1_000_000), tenants=tenants, quantum=quantum).measure(times=times)
        claims += [
            most("F8", f"claim + fetch p95, {tenants:,} tenants: large backlog to small", large.to(small, 0.95), 1.3),
            # The slowest of a few says nothing on a machine that has other work.
            most("F8", f"the same, median, {tenants:,} tenants", large.to(small, 0.5), 1.3, small=10),
            *small.claims(),
            *large.claims(),
        ]
    judge(*claims)


@contextmanager
def pinned_snapshot(database_url: str, topic: str) -> Iterator[None]:
    """A session that holds a transaction with a snapshot and an event of its own open."""
    with psycopg.connect(database_url) as session:
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        session.execute(
            "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload)"
            " VALUES ('holder', %s, 'never', '{\"sequence\": 1}')",
            [topic],
        )
        yield
        session.rollback()


@pytest.mark.timeout(1_200)
def test_f12_an_open_transaction_hardly_slows_a_drain(stage: Stage) -> None:
    """The rate at the end of the time that it is held, against those before and after."""
    held = size(3, 60)
    apart = size(2, 10)
    stage.seed(dict.fromkeys([f"tenant-{number}" for number in range(10)], size(30_000, 650_000)))
    stage.start_relays(2, **SLOW)
    wait_until(lambda: sent() > 0)
    before = stage.wait_while_at_work(apart)
    with pinned_snapshot(stage.environment["DATABASE_URL"], stage.topic):
        stage.wait_while_at_work(held - apart)
        during = stage.wait_while_at_work(apart)
    after = stage.wait_while_at_work(apart)
    assert not all_sent(), "the backlog must not have ended"
    stage.stop_relays()
    normal = (before.rate() + after.rate()) / 2
    kept = during.rate() / normal
    judge(least("F12", f"rate after {held} s of an open transaction, to the normal one", kept, 0.8, small=0.2))
