from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db.models.functions import Now

from outbox import counting
from outbox.models import BacklogCount, OutboxRelay
from outbox.operations.backlog import snapshot
from outbox.relay import backlog, watch
from outbox.relay.backlog import BacklogCounter
from outbox.relay.session import Connection, hold_identity
from outbox.relay.watch import Watcher
from tests.conftest import StartManage
from tests.outbox.relay.conftest import Tables
from tests.support.mock_cluster import MockCluster
from tests.support.waiting import wait_until


@pytest.fixture
def counter() -> Iterator[BacklogCounter]:
    made = BacklogCounter()
    yield made
    made.close()


def finish(counter: BacklogCounter) -> None:
    assert counter._thread is not None
    counter._thread.join(60)
    assert not counter._thread.is_alive()


def due(tables: Tables) -> None:
    tables.execute("UPDATE outbox_backlog_counts SET next_at = '2001-01-01'")


def test_a_relay_counts_what_waits_when_it_is_due(tables: Tables, session: Connection, counter: BacklogCounter) -> None:
    tables.add("k", "k")
    counter.look(session)
    finish(counter)
    assert [(each.tenant_id, each.pending) for each in snapshot().tenants] == [("acme", 2)]


def test_nothing_runs_and_no_session_is_opened_while_it_is_another_relays_turn(
    tables: Tables, session: Connection, counter: BacklogCounter
) -> None:
    assert counting.claim(tables.session) is not None
    counter.look(session)
    assert counter._thread is None


def test_a_count_that_takes_long_is_not_begun_twice(
    tables: Tables, session: Connection, counter: BacklogCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, tokens = threading.Event(), []

    def slow(session: Any, *, token: int, rest: Any) -> bool:
        tokens.append(token)
        return hold.wait(60)

    monkeypatch.setattr(counting, "count", slow)
    counter.look(session)
    due(tables)
    counter.look(session)
    hold.set()
    finish(counter)
    assert len(tokens) == 1


def test_a_failure_is_said_once_and_the_next_count_is_made(
    tables: Tables,
    session: Connection,
    counter: BacklogCounter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(alias: str, *, name: str) -> Any:
        raise psycopg.OperationalError("too many connections")

    with monkeypatch.context() as patch:
        patch.setattr(backlog, "open_session", refuse)
        for _ in range(2):
            counter.look(session)
            finish(counter)
            due(tables)
    (record,) = [each for each in caplog.records if each.name == backlog.logger.name]
    assert record.levelno == logging.WARNING
    assert "too many connections" in record.getMessage()
    counter.look(session)
    finish(counter)
    assert snapshot().taken_at is not None


def test_a_relay_that_ends_leaves_its_count_to_others(
    tables: Tables, session: Connection, counter: BacklogCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "CHUNK_EVENTS", 1)
    tables.add(*"abcdef")
    resting = threading.Event()
    wait = counter._stop.wait

    def rest(took: float) -> bool:
        resting.set()
        return wait(60)

    monkeypatch.setattr(counter._stop, "wait", rest)
    counter.look(session)
    assert resting.wait(60)
    counter.close()
    finish(counter)
    assert snapshot().taken_at is None
    assert counting.claim(tables.session) is not None


def test_watchers_take_turns(tables: Tables, session: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    watchers = []
    for relay_id in (uuid.uuid4(), uuid.uuid4()):
        hold_identity(session, relay_id)
        watchers.append(Watcher(relay_id=relay_id, known=list, wake=lambda: None))
        watchers[-1].start()
    try:
        wait_until(lambda: snapshot().taken_at is not None)
        first = tables.one("SELECT token FROM outbox_backlog_counts")
        tables.add("k")
        due(tables)
        wait_until(lambda: snapshot().totals.pending == 1)
        assert tables.one("SELECT token FROM outbox_backlog_counts") == first + 1
    finally:
        for watcher in watchers:
            watcher.close()


def test_relays_that_are_killed_are_followed_in_counting_by_those_that_live(
    start_manage: StartManage, mock_cluster: MockCluster
) -> None:
    env = {"KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers, "OUTBOX_BACKLOG_SECONDS": "0.01"}
    relays = [start_manage("outbox", "relay", env=env) for _ in range(2)]
    wait_until(lambda: OutboxRelay.objects.count() == 2)
    wait_until(lambda: snapshot().taken_at is not None)
    relays[0].kill()
    # As if it had died in the middle of a count.
    BacklogCount.objects.update(token=1_000, next_at=Now() + timedelta(seconds=counting.CLAIM_SECONDS))
    before = snapshot().taken_at
    wait_until(lambda: snapshot().taken_at != before)
