"""What relays write down of what they did, and what becomes of it when they cannot."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from outbox.latency import BOUNDS
from outbox.minutes import Counts
from outbox.models import OutboxEvent, OutboxRelay
from outbox.relay import rollup
from outbox.relay.ledger import Ledger
from outbox.relay.loop import Relay
from outbox.relay.rollup import Rollup
from outbox.relay.supervisor import Supervisor
from tests.conftest import StartManage
from tests.outbox.relay.conftest import PATIENT, MakeRelay, Tables, another_session
from tests.support.mock_cluster import MockCluster
from tests.support.waiting import wait_until

NEVER = 3_600.0


def total(tables: Tables, tenant: str, column: str = "sent") -> int:
    """Over all minutes: a test may take longer than one."""
    statement = f"SELECT coalesce(sum({column}), 0)::int FROM outbox_minutes WHERE step = 1 AND tenant_id = %(tenant)s"  # noqa: S608
    return int(tables.one(statement, tenant=tenant))


def histogram(tables: Tables, tenant: str) -> list[int]:
    """All buckets up to the last that is used in some minute."""
    rows = tables.execute(
        "SELECT place, sum(events)::int AS events"
        " FROM outbox_minutes, unnest(latency) WITH ORDINALITY AS bucket (events, place)"
        " WHERE step = 1 AND tenant_id = %(tenant)s GROUP BY place ORDER BY place",
        tenant=tenant,
    )
    return [row["events"] for row in rows]


def failures_counted() -> float:
    return REGISTRY.get_sample_value("outbox_series_flush_failures_total") or 0.0


@pytest.fixture
def ledger() -> Ledger:
    """With three events of `acme`."""
    made = Ledger()
    made.give_back({14_000_000: {"acme": Counts(sent=3, latency=[3])}})
    return made


@pytest.fixture
def blocked(tables: Tables) -> Iterator[psycopg.Connection[Any]]:
    """Nobody can write minutes until this session ends its transaction."""
    with another_session() as holding:
        holding.execute("BEGIN")
        holding.execute("LOCK TABLE outbox_minutes IN ACCESS EXCLUSIVE MODE")
        yield holding
        holding.rollback()


# A real relay


def test_a_relay_writes_down_what_it_sent_by_tenant_and_minute(tables: Tables, make_relay: MakeRelay) -> None:
    driver = make_relay(**PATIENT)
    tables.add_many(700)
    tables.add("k", tenant="other")
    driver.until(lambda: driver.steering.tally.published == 701)
    driver.drain()
    driver.relay.close()
    assert (total(tables, "acme"), total(tables, "other"), total(tables, "*")) == (700, 1, 701)
    assert sum(histogram(tables, "acme")) == 700
    assert sum(histogram(tables, "*")) == 701


def test_events_that_waited_for_long_are_in_the_bucket_of_their_age(tables: Tables, make_relay: MakeRelay) -> None:
    driver = make_relay(**PATIENT)
    tables.execute(
        "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload, created_at)"
        " SELECT 'acme', 'news', n::text, '1', clock_timestamp() - interval '3000 seconds' + n * interval '1 ms'"
        " FROM generate_series(1, 600) n"
    )
    driver.until(lambda: driver.steering.tally.published == 600)
    driver.drain()
    driver.relay.close()
    place = next(n for n, bound in enumerate(BOUNDS) if bound >= 3_000)
    assert histogram(tables, "acme") == [0] * place + [600]


def test_a_relay_writes_down_what_failed(tables: Tables, make_relay: MakeRelay) -> None:
    driver = make_relay(max_attempts=1, **PATIENT)
    tables.add("k", headers=["no", "object"])
    driver.until(lambda: driver.steering.tally.dead_letters == 1)
    driver.drain()
    driver.relay.close()
    assert [total(tables, "acme", name) for name in ("sent", "failed", "failed_attempts")] == [0, 1, 1]


def test_two_relays_add_up(tables: Tables, start_manage: StartManage, mock_cluster: MockCluster) -> None:
    env = {"KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers}
    relays = [start_manage("outbox", "relay", env=env) for _ in range(2)]
    wait_until(lambda: OutboxRelay.objects.count() == 2)
    for tenant in range(20):
        tables.add_many(50, tenant=f"t{tenant}")
    wait_until(lambda: OutboxEvent.objects.filter(status="sent").count() == 1_000)
    for relay in relays:
        relay.send(signal.SIGTERM)
    assert [relay.wait(timeout=60) for relay in relays] == [0, 0]
    assert total(tables, "*") == 1_000
    assert {f"t{n}": total(tables, f"t{n}") for n in range(20)} == {f"t{n}": 50 for n in range(20)}


def test_a_relay_that_is_killed_loses_no_more_than_it_had_not_written_yet(
    tables: Tables, start_manage: StartManage, mock_cluster: MockCluster
) -> None:
    env = {"KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers}
    relay = start_manage("outbox", "relay", env=env)
    tables.add_many(100)
    wait_until(lambda: total(tables, "*") == 100)
    tables.add_many(10)
    wait_until(lambda: OutboxEvent.objects.filter(status="sent").count() == 110)
    relay.kill()
    assert 100 <= total(tables, "*") <= 110


# What cannot be written


def test_nothing_to_write_asks_nothing_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(rollup, "open_session")
    Rollup(Ledger()).flush()


def test_what_cannot_be_written_is_kept_and_said_once(
    tables: Tables,
    ledger: Ledger,
    blocked: psycopg.Connection[Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rollup, "STATEMENT_SECONDS", 0.05)
    before, writer = failures_counted(), Rollup(ledger)
    writer.flush()
    writer.flush()
    (record,) = [each for each in caplog.records if each.name == rollup.logger.name]
    assert (record.levelno, "statement timeout" in record.getMessage()) == (logging.WARNING, True)
    assert failures_counted() == before + 2
    blocked.rollback()
    monkeypatch.setattr(rollup, "STATEMENT_SECONDS", 60.0)
    writer.flush()
    assert total(tables, "acme") == 3
    assert ledger.take() == {}


def test_minutes_that_were_written_are_not_written_again_after_one_that_could_not(
    tables: Tables, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.give_back({14_000_001: {"acme": Counts(sent=5)}})
    write, calls = rollup._write, list[int]()

    def fail_second(session: Any, minute: int, counts: Any) -> None:
        calls.append(minute)
        if len(calls) == 2:
            raise psycopg.OperationalError("gone")
        write(session, minute, counts)

    with monkeypatch.context() as patch:
        patch.setattr(rollup, "_write", fail_second)
        Rollup(ledger).flush()
    assert total(tables, "acme") == 3
    Rollup(ledger).flush()
    assert total(tables, "acme") == 8


def test_publishing_goes_on_while_minutes_cannot_be_written(
    tables: Tables, make_relay: MakeRelay, blocked: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "FLUSH_SECONDS", 0.01)
    driver = make_relay(**PATIENT)
    for published in (100, 200, 300):
        tables.add_many(100)
        driver.until(lambda so_far=published: driver.steering.tally.published == so_far)  # type: ignore[misc]
    blocked.rollback()
    driver.drain()
    driver.relay.close()
    assert total(tables, "acme") == 300


def test_what_came_together_is_written_on_a_rhythm(tables: Tables, ledger: Ledger) -> None:
    writer = Rollup(ledger, every=0.01)
    writer.start()
    wait_until(lambda: total(tables, "acme") == 3)
    writer.close()


def test_what_nobody_expected_is_logged_and_writing_goes_on(
    tables: Tables, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, calls = rollup._write, list[int]()

    def stumble(session: Any, minute: int, counts: Any) -> None:
        calls.append(minute)
        if len(calls) == 1:
            raise RuntimeError("unexpected")
        write(session, minute, counts)

    monkeypatch.setattr(rollup, "_write", stumble)
    writer = Rollup(ledger, every=0.01)
    writer.start()
    wait_until(lambda: total(tables, "acme") == 3)
    writer.close()
    assert [each.levelno for each in caplog.records if each.name == rollup.logger.name] == [logging.ERROR]


def test_the_rest_is_written_at_the_end(tables: Tables, ledger: Ledger) -> None:
    writer = Rollup(ledger, every=NEVER)
    writer.start()
    writer.close()
    assert total(tables, "acme") == 3


def test_what_an_abandoned_relay_has_not_written_its_successor_writes(
    tables: Tables, mock_cluster: MockCluster, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOX_KAFKA_CONFIG = {"bootstrap.servers": mock_cluster.bootstrap_servers, "log_level": 0}
    monkeypatch.setattr(rollup, "FLUSH_SECONDS", NEVER)
    supervisor = Supervisor()
    first = supervisor._make()
    tables.add_many(30)
    drain(first)
    first.abandon()
    assert total(tables, "acme") == 0
    second = supervisor._make()
    second._drain()
    second.close()
    assert total(tables, "acme") == 30


def drain(relay: Relay) -> None:
    relay._senders.main.warm()

    def done() -> bool:
        relay._round()
        return relay.steering.tally.published == 30

    wait_until(done)
