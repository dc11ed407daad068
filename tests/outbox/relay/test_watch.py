"""The watcher's thread, and what it does about relays, its own and dead ones."""

from __future__ import annotations

import threading
import time
import uuid
from types import SimpleNamespace

import psycopg
import pytest
from pytest_django import Settings

import outbox
from outbox.errors import RelayBuried
from outbox.relay import watch
from outbox.relay.session import Connection, hold_identity, lock_key
from outbox.relay.watch import Duty, Found
from tests.outbox.relay.conftest import HANG_SECONDS, Tables, another_session
from tests.outbox.relay.tenures import ME, SOMEBODY_ELSE, put_lane
from tests.outbox.relay.watchers import MakeWatcher, found, register
from tests.support.waiting import wait_until

# Dead relays


def test_lanes_of_a_dead_relay_are_freed_at_once_and_offered(make_watcher: MakeWatcher, tables: Tables) -> None:
    register(tables)
    put_lane(tables, "theirs", owner=SOMEBODY_ELSE, leased_until="2100-01-01", token=3, floor="2010-01-01")
    put_lane(tables, "mine", owner=ME, leased_until="2100-01-01")
    watcher = make_watcher()
    watcher._bury_the_dead()
    row = tables.lane("theirs")
    assert (row["owner"], row["leased_until"], row["token"]) == (None, None, 3)
    assert tables.lane("mine")["owner"] == ME
    assert [each["id"] for each in tables.execute("SELECT id FROM outbox_relays")] == [ME]
    assert found(watcher) == ["theirs"]
    key = lock_key(SOMEBODY_ELSE)
    assert tables.one("SELECT pg_try_advisory_lock(%(key)s)", key=key), "the lock it took to find out is given back"
    tables.one("SELECT pg_advisory_unlock(%(key)s)", key=key)


def test_a_relay_that_lives_keeps_its_lanes(make_watcher: MakeWatcher, tables: Tables, session: Connection) -> None:
    alive = uuid.uuid4()
    register(tables, alive, heartbeat="2001-01-01")
    put_lane(tables, "theirs", owner=alive, leased_until="2100-01-01")
    hold_identity(session, alive)
    watcher = make_watcher()
    watcher._bury_the_dead()
    assert tables.lane("theirs")["owner"] == alive
    assert watcher.news() == []


def test_a_dead_relay_without_lanes_is_no_news(make_watcher: MakeWatcher, tables: Tables) -> None:
    register(tables)
    watcher = make_watcher()
    watcher._bury_the_dead()
    assert watcher.news() == []
    assert tables.one("SELECT count(*) FROM outbox_relays") == 1


def test_freed_lanes_make_nobody_wait_who_has_no_work(make_watcher: MakeWatcher, tables: Tables) -> None:
    """A claim marks a lane as one with work; a lane that was freed empty must not count as waiting for ever."""
    register(tables)
    put_lane(tables, "empty", owner=SOMEBODY_ELSE, leased_until="2100-01-01", has_work=True)
    make_watcher()._bury_the_dead()
    assert tables.lane("empty")["has_work"] is False


def test_without_sessions_to_watch_only_the_lease_ends_an_owner(
    make_watcher: MakeWatcher, tables: Tables, settings: Settings
) -> None:
    settings.OUTBOX_SESSION_TAKEOVER = False
    register(tables)
    register(tables, uuid.uuid4(), heartbeat="2001-01-01")
    put_lane(tables, "theirs", owner=SOMEBODY_ELSE, leased_until="2100-01-01")
    make_watcher()._bury_the_dead()
    assert tables.lane("theirs")["owner"] == SOMEBODY_ELSE
    assert {row["id"] for row in tables.execute("SELECT id FROM outbox_relays")} == {ME, SOMEBODY_ELSE}


def test_without_sessions_to_watch_what_a_silent_relay_has_left_is_freed(
    make_watcher: MakeWatcher, tables: Tables, settings: Settings
) -> None:
    settings.OUTBOX_SESSION_TAKEOVER = False
    silent = uuid.uuid4()
    register(tables)
    register(tables, silent, heartbeat="2001-01-01")
    put_lane(tables, "left", owner=silent, leased_until="2001-01-01", has_work=True)
    put_lane(tables, "held", owner=silent, leased_until="2100-01-01")
    put_lane(tables, "late", owner=SOMEBODY_ELSE, leased_until="2001-01-01")
    watcher = make_watcher()
    watcher._bury_the_dead()
    watcher._bury_the_dead()
    row = tables.lane("left")
    assert (row["owner"], row["leased_until"], row["has_work"]) == (None, None, False)
    assert tables.lane("held")["owner"] == silent
    assert tables.lane("late")["owner"] == SOMEBODY_ELSE


# Being there


def test_a_relay_is_on_the_list_from_its_start_to_its_end(make_watcher: MakeWatcher, tables: Tables) -> None:
    watcher = make_watcher()
    row = tables.one("SELECT * FROM outbox_relays")
    assert (row["id"], row["version"]) == (ME, outbox.__version__)
    assert row["pid"] > 0
    watcher.start()
    watcher.close()
    assert tables.execute("SELECT * FROM outbox_relays") == []


def test_a_heartbeat_tells_lanes_and_rate(make_watcher: MakeWatcher, tables: Tables) -> None:
    watcher = make_watcher()
    tables.execute("UPDATE outbox_relays SET heartbeat_at = '2001-01-01'")
    watcher.vitals.lanes, watcher.vitals.published = 7, 1_000
    watcher._rate_base = (time.monotonic() - 10.0, 0)
    watcher._heartbeat()
    row = tables.one("SELECT *, heartbeat_at > '2002-01-01' AS recent FROM outbox_relays")
    assert (row["lanes"], row["recent"]) == (7, True)
    assert 50 < row["rate"] <= 100


def test_where_its_backlogged_lanes_stand_is_told_more_often(make_watcher: MakeWatcher, tables: Tables) -> None:
    """Relays divide lanes by it. Without a backlog there is nothing to tell."""
    watcher = make_watcher()
    tables.execute("UPDATE outbox_relays SET heartbeat_at = '2001-01-01'")
    seen = "SELECT virtual_time, pace, heartbeat_at > '2002-01-01' AS recent FROM outbox_relays"
    watcher._tell_level()
    assert tables.one(seen) == {"virtual_time": None, "pace": 0.0, "recent": False}
    now = time.monotonic()
    watcher.vitals.level.note(9_000.0, now - 0.5, served=0.0)
    watcher.vitals.level.note(10_000.0, now, served=500.0)
    watcher._tell_level()
    told = tables.one(seen)
    assert (told["virtual_time"] >= 10_000, told["pace"], told["recent"]) == (True, pytest.approx(1_000), True)


def test_others_are_told_at_once_when_a_relay_has_a_backlog_or_none_any_more(
    make_watcher: MakeWatcher, tables: Tables
) -> None:
    watcher = make_watcher()
    with another_session() as other:
        other.execute("LISTEN outbox_policy")

        for lanes, tells in ((0, False), (3, True), (5, False), (0, True)):
            watcher.tell_backlogged(lanes)
            watcher._heartbeat()
            assert tables.one("SELECT backlogged FROM outbox_relays") == lanes
            heard = other.notifies(timeout=HANG_SECONDS if tells else 0.1, stop_after=1 if tells else None)
            assert bool(list(heard)) is tells


def test_a_first_backlog_does_not_wait_for_the_next_heartbeat(
    make_watcher: MakeWatcher, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "HEARTBEAT_SECONDS", 3_600.0)
    watcher = make_watcher()
    tables.execute("UPDATE outbox_relays SET heartbeat_at = '2001-01-01'")
    watcher.start()
    wait_until(lambda: tables.one("SELECT heartbeat_at > '2002-01-01' FROM outbox_relays"))
    watcher.tell_backlogged(3)
    wait_until(lambda: tables.one("SELECT backlogged FROM outbox_relays") == 3)


def test_a_relay_that_was_buried_learns_of_it(make_watcher: MakeWatcher, tables: Tables) -> None:
    watcher = make_watcher()
    tables.execute("DELETE FROM outbox_relays")
    with pytest.raises(RelayBuried):
        watcher._heartbeat()


# The thread


def test_everything_is_done_without_being_asked(make_watcher: MakeWatcher, tables: Tables) -> None:
    register(tables)
    tables.add("k", tenant="waiting")
    tables.add("k", tenant="due", status="scheduled", available_at="2001-01-01")
    woken = threading.Event()
    watcher = make_watcher(wake=woken.set)
    watcher.start()
    wait_until(lambda: tables.one("SELECT count(*) FROM outbox_relays") == 1 and tables.count("pending") == 2)
    assert woken.wait(30)
    names: set[str] = set()

    def all_found() -> bool:
        for news in watcher.news():
            names.update(news.tenants if isinstance(news, Found) else news.oldest)
        return {"waiting", "due"} <= names

    wait_until(all_found)


def test_a_search_can_be_asked_for(make_watcher: MakeWatcher, tables: Tables, settings: Settings) -> None:
    settings.OUTBOX_SCAN_SECONDS = 1_000.0
    watcher = make_watcher()
    watcher.start()
    wait_until(watcher.news)
    tables.add("k")
    watcher.scan_now.set()
    wait_until(lambda: "acme" in found(watcher))


def test_the_error_that_ended_the_thread_is_told(make_watcher: MakeWatcher, tables: Tables) -> None:
    woken = threading.Event()
    watcher = make_watcher()
    watcher.start()
    wait_until(watcher.news)
    watcher._wake = woken.set
    tables.execute("SELECT pg_terminate_backend(%(pid)s)", pid=watcher._connection.info.backend_pid)

    def raises() -> bool:
        try:
            watcher.news()
        except psycopg.OperationalError:
            return True
        return False

    wait_until(raises)
    assert woken.wait(30)


class Clock:
    def __init__(self, *moments: float) -> None:
        self.moments = list(moments)

    def __call__(self) -> float:
        return self.moments.pop(0)


@pytest.mark.parametrize(
    ("began", "ended", "every", "rarely", "due"),
    [(100.0, 100.2, 1.0, 0, 101.0), (100.0, 105.0, 1.0, 0, 105.0), (100.0, 100.2, 0.25, 10, 102.2)],
    ids=["on a rhythm", "as soon as it can", "what became expensive becomes rare"],
)
def test_a_duty_is_due_again(
    monkeypatch: pytest.MonkeyPatch, began: float, ended: float, every: float, rarely: float, due: float
) -> None:
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=Clock(began, ended, began)))
    done: list[None] = []
    duty = Duty(lambda: done.append(None), every=every, rarely=rarely)
    duty.do_if_due(threading.Event())
    assert duty.due == pytest.approx(due)
    duty.do_if_due(threading.Event())
    assert len(done) == 1


def test_no_duty_is_begun_at_the_end() -> None:
    stop = threading.Event()
    stop.set()
    done: list[None] = []
    Duty(lambda: done.append(None), every=1.0).do_if_due(stop)
    assert done == []


def test_a_relay_stays_alive_while_very_many_events_become_due(
    make_watcher: MakeWatcher, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other duties, the heartbeat above all, take their turns."""
    monkeypatch.setattr(watch, "PROMOTE_CHUNK", 1)
    monkeypatch.setattr(watch, "PROMOTE_SECONDS", 0.0)
    tables.add(*"abc", status="scheduled", available_at="2001-01-01")
    watcher = make_watcher()
    watcher._promote()
    assert tables.count("pending") == 1
    watcher.start()
    wait_until(lambda: tables.count("pending") == 3)
