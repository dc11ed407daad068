"""Events that become due."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from outbox import sql
from outbox.relay import watch
from outbox.relay.fetch import fetch
from outbox.relay.session import Connection
from outbox.relay.tenure import Tenure
from outbox.relay.watch import Duty, Promoted
from tests.outbox.relay.conftest import Tables, another_session, lanes_locked
from tests.outbox.relay.tenures import ME, put_lane
from tests.outbox.relay.watchers import MakeWatcher
from tests.support.sessions import somebody_waits_for_a_lock, wait_until_somebody_waits_for_a_lock
from tests.support.waiting import wait_until


def test_due_events_become_pending_and_are_told_with_the_oldest_of_each_tenant(
    make_watcher: MakeWatcher, tables: Tables
) -> None:
    due = tables.add("a", "b", status="scheduled", available_at="2001-01-01", created_at="2000-01-01 00:00:05+00")
    (retry,) = tables.add(
        "c",
        tenant="zeta",
        status="scheduled",
        available_at="2001-01-01",
        created_at="2000-01-01 00:00:07+00",
        attempts=2,
    )
    (later,) = tables.add("d", status="scheduled", available_at="2100-01-01")
    watcher = make_watcher()
    watcher._promote()
    assert tables.statuses(*due, retry, later) == ["pending", "pending", "pending", "scheduled"]
    assert tables.event(retry)["available_at"] is None
    assert watcher.news() == [Promoted(oldest={"acme": 5_000_000, "zeta": 7_000_000})]


def test_nothing_due_is_no_news(make_watcher: MakeWatcher) -> None:
    watcher = make_watcher()
    watcher._promote()
    assert watcher.news() == []


def test_very_many_due_events_are_promoted_in_chunks(
    make_watcher: MakeWatcher, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PROMOTE_CHUNK", 2)
    tables.add(*"abcde", status="scheduled", available_at="2001-01-01")
    watcher = make_watcher()
    watcher._promote()
    assert tables.count("pending") == 5
    assert len(watcher.news()) == 3


def test_two_relays_promote_each_its_own(make_watcher: MakeWatcher, tables: Tables) -> None:
    tables.add("a", "b", status="scheduled", available_at="2001-01-01")
    with another_session() as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM outbox_events WHERE partition_key = 'a' FOR UPDATE")
        make_watcher()._promote()
    assert (tables.count("pending"), tables.count("scheduled")) == (1, 1)


def test_whoever_promotes_waits_for_a_lane_before_it_locks_an_event(make_watcher: MakeWatcher, tables: Tables) -> None:
    """As a settle does, or the two could wait for each other."""
    put_lane(tables, "acme", floor="2020-01-01")
    (due,) = tables.add("a", status="scheduled", available_at="2001-01-01")
    watcher = make_watcher()
    with ThreadPoolExecutor(1) as thread, lanes_locked() as settler:
        done = thread.submit(watcher._promote)
        wait_until_somebody_waits_for_a_lock()
        settler.execute("SELECT FROM outbox_events FOR UPDATE NOWAIT")
    done.result()
    assert tables.statuses(due) == ["pending"]


def test_what_another_has_promoted_meanwhile_is_left_as_it_is(make_watcher: MakeWatcher, tables: Tables) -> None:
    """Also when it has failed and waits for its next attempt."""
    put_lane(tables, "acme", floor="2020-01-01")
    retried, sent = tables.add("a", "b", status="scheduled", available_at="2001-01-01")
    watcher = make_watcher()
    with ThreadPoolExecutor(1) as thread, lanes_locked() as other:
        done = thread.submit(watcher._promote)
        wait_until_somebody_waits_for_a_lock()
        other.execute("UPDATE outbox_events SET available_at = '2100-01-01' WHERE partition_key = 'a'")
        other.execute("UPDATE outbox_events SET status = 'pending', available_at = NULL WHERE partition_key = 'b'")
    done.result()
    assert tables.statuses(retried, sent) == ["scheduled", "pending"]
    assert tables.lane()["floor"].isoformat() == "2020-01-01T00:00:00+00:00"


def test_a_due_event_moves_the_floor_of_its_lane_back(make_watcher: MakeWatcher, tables: Tables) -> None:
    put_lane(tables, "acme", floor="2020-01-01")
    tables.add("a", status="scheduled", available_at="2001-01-01", created_at="2010-01-01 00:00:01+00")
    make_watcher()._promote()
    assert tables.lane()["floor"].isoformat() == "2010-01-01T00:00:00.999999+00:00"


def test_a_second_due_event_above_a_lowered_floor_changes_it_again(make_watcher: MakeWatcher, tables: Tables) -> None:
    put_lane(tables, "acme", floor="2010-01-01 00:00:01+00")
    tables.add("a", status="scheduled", available_at="2001-01-01", created_at="2015-01-01")
    make_watcher()._promote()
    assert tables.lane()["floor"].isoformat() == "2010-01-01T00:00:00.999999+00:00"


def test_an_unknown_floor_stays_unknown(make_watcher: MakeWatcher, tables: Tables) -> None:
    put_lane(tables, "known")
    for tenant in ("known", "new"):
        tables.add("a", tenant=tenant, status="scheduled", available_at="2001-01-01", created_at="2015-01-01")
    make_watcher()._promote()
    assert (tables.lane("known")["floor"], tables.lane("new")["floor"]) == (None, None)


def test_the_first_claim_of_a_tenant_does_not_read_past_an_event_that_becomes_due(
    session: Connection, tables: Tables
) -> None:
    """There is no row yet whose floor could be lowered."""
    (due,) = tables.add("a", status="scheduled", available_at="2001-01-01", created_at="2010-01-01")
    (recent,) = tables.add("b")
    read: list[int] = []

    def claim_and_read() -> None:
        tenure = Tenure(connection=session, relay_id=ME, db_now=lambda now: 0)
        lanes = tenure.claim(["acme"], limit=1, now=0.0)
        read.extend(row[1] for _, rows in fetch(session, lanes, [10]) for row in rows)

    with another_session() as promoter, ThreadPoolExecutor(1) as thread:
        promoter.execute("BEGIN")
        promoter.execute(sql.load("promote"), {"limit": 10, "patient": True, "without": []})
        done = thread.submit(claim_and_read)
        wait_until(lambda: done.done() or somebody_waits_for_a_lock())
        promoter.execute("COMMIT")
        done.result(30)
    assert read == [due, recent]


def test_due_events_of_a_lane_that_others_hold_locked_keep_nobody_waiting(
    make_watcher: MakeWatcher, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, and also where the tenant has no lane yet."""
    monkeypatch.setattr(watch, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(watch, "PROMOTE_CHUNK", 3)
    due = {"status": "scheduled", "available_at": "2001-01-01"}
    put_lane(tables, "locked")
    put_lane(tables, "zeta")
    tables.add(*"abcdefg", tenant="locked", **due)
    others = [*tables.add("a", tenant="zeta", **due), *tables.add("a", tenant="new", **due)]
    watcher = make_watcher()
    with another_session() as holder, holder.transaction():
        holder.execute("SELECT FROM outbox_lanes WHERE tenant_id = 'locked' FOR NO KEY UPDATE")
        watcher._promote()
        assert tables.statuses(*others) == ["pending", "pending"]
        assert tables.count("scheduled") == 7
    watcher._promote()
    assert tables.count("scheduled") == 0


def test_a_duty_that_meets_a_lock_is_done_later_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def run() -> None:
        raise psycopg.errors.LockNotAvailable

    duty = Duty(run, every=100.0)
    duty.do_if_due(threading.Event())
    assert duty.due > time.monotonic() + 50
    assert "holds a lock" in caplog.text
