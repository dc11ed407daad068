from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from outbox import counting
from outbox.operations import freshness
from outbox.operations.backlog import snapshot
from outbox.operations.freshness import COUNT_AFTER, count_soon, is_stale
from tests.outbox.relay.conftest import Tables

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def finish(thread: threading.Thread | None) -> None:
    assert thread is not None
    thread.join(60)
    assert not thread.is_alive()


def test_a_count_is_stale_once_it_is_too_old_or_none() -> None:
    assert is_stale(None, now=NOW)
    assert is_stale(NOW - COUNT_AFTER - timedelta(microseconds=1), now=NOW)
    assert not is_stale(NOW - COUNT_AFTER, now=NOW)


def test_a_process_without_a_relay_counts(tables: Tables) -> None:
    tables.add("k", "k")
    finish(count_soon(using="default"))
    assert snapshot().totals.pending == 2
    assert tables.one("SELECT waiting FROM outbox_minutes WHERE step = 1 AND tenant_id = '*'") == 2


def test_while_another_process_counts_this_one_does_not(tables: Tables) -> None:
    assert counting.claim(tables.session) is not None
    finish(count_soon(using="default"))
    assert snapshot().taken_at is None


def test_a_process_counts_once_at_a_time(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    monkeypatch.setattr(counting, "count_if_due", lambda *, alias: hold.wait(60))
    first = count_soon(using="default")
    assert count_soon(using="default") is None
    hold.set()
    finish(first)
    finish(count_soon(using="default"))


def test_a_count_that_fails_is_said_and_the_next_may_be_made(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*, alias: str) -> bool:
        raise psycopg.OperationalError("too many connections")

    with monkeypatch.context() as patch:
        patch.setattr(counting, "count_if_due", fail)
        finish(count_soon(using="default"))
    (record,) = [each for each in caplog.records if each.name == freshness.__name__]
    assert (record.levelno, "too many connections" in record.getMessage()) == (logging.WARNING, True)
    finish(count_soon(using="default"))
    assert snapshot().taken_at is not None
