from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from pytest_django import Settings

import outbox
from outbox import sql
from outbox.errors import RelayBuried
from outbox.relay import watch
from outbox.relay.fetch import fetch
from outbox.relay.session import Connection, hold_identity, lock_key, query
from outbox.relay.tenure import Tenure
from outbox.relay.watch import Duty, Found, Promoted, Stranded, Watcher
from tests.outbox.relay.conftest import Tables, another_session, lanes_locked
from tests.support.waiting import wait_until

ME, SOMEBODY_ELSE = uuid.uuid4(), uuid.uuid4()
HANG_SECONDS = 30

MakeWatcher = Callable[..., Watcher]


@pytest.fixture
def make_watcher(tables: Tables) -> Iterator[MakeWatcher]:
    """A watcher that does only what it is told, until it is started."""
    with ExitStack() as made:

        def make(*known: str, wake: Callable[[], None] = lambda: None, relay_id: uuid.UUID = ME) -> Watcher:
            watcher = Watcher(relay_id=relay_id, known=lambda: list(known), wake=wake)
            made.callback(watcher.abandon)
            return watcher

        yield make


def found(watcher: Watcher) -> list[str]:
    names: list[str] = []
    for news in watcher.news():
        assert isinstance(news, Found)
        names += news.tenants
    return sorted(names)


def put_lane(tables: Tables, tenant: str, **columns: Any) -> None:
    names = ", ".join(["tenant_id", *columns])
    places = ", ".join(["%(tenant)s", *(f"%({name})s" for name in columns)])
    tables.execute(f"INSERT INTO outbox_lanes ({names}) VALUES ({places})", tenant=tenant, **columns)  # noqa: S608


# The search for lanes with work


def test_a_scan_finds_tenants_with_pending_events(make_watcher: MakeWatcher, tables: Tables) -> None:
    for tenant in ("b", "a", "z"):
        tables.add("k", "k", tenant=tenant)
    tables.add("k", tenant="sent", status="sent")
    tables.add("k", tenant="delayed", status="scheduled", available_at="2100-01-01")
    watcher = make_watcher()
    watcher._scan()
    (news,) = watcher.news()
    assert isinstance(news, Found)
    assert sorted(news.tenants) == ["a", "b", "z"]
    assert news.complete is None


def test_a_thorough_search_begins_behind_the_floors(make_watcher: MakeWatcher, tables: Tables) -> None:
    tables.add("k", created_at="2010-01-01 00:00:01+00")
    put_lane(tables, "acme", floor="2020-01-01")
    watcher = make_watcher("acme")
    began = time.monotonic()
    watcher.search_thoroughly()
    watcher._scan()
    stranded, searched = watcher.news()
    assert isinstance(stranded, Stranded)
    assert isinstance(searched, Found)
    assert searched.tenants == list(stranded.oldest) == ["acme"]
    assert searched.complete is not None
    assert began <= searched.complete <= time.monotonic()
    watcher._scan()
    (searched,) = watcher.news()
    assert isinstance(searched, Found)
    assert searched.complete is None


def test_a_scan_looks_into_the_gaps_between_known_tenants_only(make_watcher: MakeWatcher, tables: Tables) -> None:
    for n in range(10):
        tables.add("k", tenant=f"tenant-{n}")
    watcher = make_watcher(*[f"tenant-{n}" for n in range(0, 10, 2)])
    watcher._scan()
    assert found(watcher) == [f"tenant-{n}" for n in range(1, 10, 2)]


def test_a_scan_finds_names_at_both_ends(make_watcher: MakeWatcher, tables: Tables) -> None:
    tables.add("k", tenant="0")
    tables.add("k", tenant="z" * 64)
    watcher = make_watcher("m")
    watcher._scan()
    assert found(watcher) == ["0", "z" * 64]


def test_a_scan_of_very_many_tenants_tells_as_it_goes(
    make_watcher: MakeWatcher, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SCAN_CHUNK", 3)
    for n in range(8):
        tables.add("k", tenant=f"tenant-{n}")
    watcher = make_watcher()
    watcher._scan()
    news = [each for each in watcher.news() if isinstance(each, Found)]
    assert [len(each.tenants) for each in news] == [3, 3, 2]
    assert sorted(name for each in news for name in each.tenants) == [f"tenant-{n}" for n in range(8)]


@pytest.mark.parametrize("who", ["acme", "*"])
def test_a_search_leaves_paused_tenants_out(make_watcher: MakeWatcher, tables: Tables, who: str) -> None:
    """Or each look would offer them again, and `--until-empty` would never end."""
    tables.add("k")
    tables.policy(who, paused=True)
    unknown, known = make_watcher(), make_watcher("acme", relay_id=SOMEBODY_ELSE)
    put_lane(tables, "acme")
    for watcher in (unknown, known):
        watcher._scan()
        assert found(watcher) == []
    tables.policy(who, paused=True, paused_until="2001-01-01")
    for watcher in (unknown, known):
        watcher._scan()
        assert found(watcher) == ["acme"]


@pytest.mark.parametrize(
    ("columns", "seen"),
    [
        ({}, True),
        ({"floor": "2020-01-01"}, True),
        ({"floor": "2100-01-01"}, False),
        ({"owner": SOMEBODY_ELSE, "leased_until": "2100-01-01"}, False),
        ({"owner": SOMEBODY_ELSE, "leased_until": "2001-01-01"}, True),
    ],
    ids=["new", "above the floor", "below the floor", "held", "its holder is stopped"],
)
def test_a_known_lane_with_work_again_is_found(
    make_watcher: MakeWatcher, tables: Tables, columns: dict[str, Any], seen: bool
) -> None:
    tables.add("k")
    put_lane(tables, "acme", **columns)
    watcher = make_watcher("acme")
    watcher._scan()
    assert found(watcher) == (["acme"] if seen else [])


def test_a_known_lane_is_found_when_its_rate_allows_the_next_event(make_watcher: MakeWatcher, tables: Tables) -> None:
    tables.add("k")
    put_lane(tables, "acme")
    tables.policy(rate=0.001)
    tables.execute("UPDATE outbox_lanes SET rate_clock = clock_timestamp() - interval '900 s'")
    watcher = make_watcher("acme")
    watcher._scan()
    assert found(watcher) == []
    tables.execute("UPDATE outbox_lanes SET rate_clock = clock_timestamp() - interval '1010 s'")
    watcher._scan()
    assert found(watcher) == ["acme"]


@pytest.mark.parametrize("analysed", ["empty", "drained", "full"])
def test_a_look_at_a_known_lane_does_not_walk_over_what_was_drained(
    session: Connection, tables: Tables, analysed: str
) -> None:
    """Whatever the statistics say: while some session pins old rows, the index has an entry for every event sent."""
    tables.execute("TRUNCATE outbox_events CASCADE")
    if analysed != "empty":
        tables.add_many(5_000)
    if analysed == "drained":
        tables.execute("UPDATE outbox_events SET status = 'sent'")
    tables.execute("ANALYZE outbox_events")
    with another_session() as pinning:
        tables.add_many(5_000)
        pinning.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        pinning.execute("SELECT FROM outbox_events LIMIT 1")
        tables.execute("UPDATE outbox_events SET status = 'sent'")
        put_lane(tables, "acme", floor="2001-01-01")
        from_the_beginning = pages_read(session)
        tables.execute("UPDATE outbox_lanes SET floor = clock_timestamp()")
        from_its_floor = pages_read(session)
        pinning.execute("ROLLBACK")
    assert from_the_beginning > 5 * from_its_floor


def pages_read(session: Connection) -> int:
    statement = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + sql.load("probe_lanes")
    ((explained,),) = query(session, statement, {"tenants": ["acme"]})
    return int(explained[0]["Plan"]["Shared Hit Blocks"] + explained[0]["Plan"]["Shared Read Blocks"])


# Events that become due


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
        wait_until(lambda: waits_for_a_lock(tables))
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
        wait_until(lambda: waits_for_a_lock(tables))
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
        wait_until(lambda: done.done() or waits_for_a_lock(tables))
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


def waits_for_a_lock(tables: Tables) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(tables.one(waiting))


# Dead relays


def register(tables: Tables, relay_id: uuid.UUID = SOMEBODY_ELSE, heartbeat: str = "now") -> None:
    tables.execute(
        "INSERT INTO outbox_relays (id, host, pid, version, heartbeat_at) VALUES (%(id)s, 'h', 1, '1', %(at)s)",
        id=relay_id,
        at=heartbeat,
    )


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


# The net below the floors


def test_a_pending_event_behind_its_lanes_floor_is_found(
    make_watcher: MakeWatcher, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    put_lane(tables, "acme", floor="2020-01-01")
    tables.add("k", "", created_at="2000-01-01 00:00:01+00")
    watcher = make_watcher()
    watcher._find_stranded()
    assert tables.lane()["floor"].isoformat() == "2000-01-01T00:00:00.999999+00:00"
    assert watcher.news() == [Stranded({"acme": 999_999})]
    assert "acme" in caplog.text


def test_what_waits_for_a_retry_is_not_stranded(make_watcher: MakeWatcher, tables: Tables) -> None:
    put_lane(tables, "acme", floor="2020-01-01")
    tables.add("k", status="scheduled", attempts=1, available_at="2100-01-01", created_at="2009-01-01")
    tables.add("k", created_at="2010-01-01")
    watcher = make_watcher()
    watcher._find_stranded()
    assert watcher.news() == []


def test_what_waits_behind_a_dead_letter_is_not_stranded(
    make_watcher: MakeWatcher, tables: Tables, settings: Settings
) -> None:
    put_lane(tables, "acme", floor="2020-01-01")
    tables.add("k", status="failed", attempts=20, created_at="2009-01-01")
    tables.add("k", created_at="2010-01-01")
    settings.OUTBOX_DEAD_LETTER_BLOCKS_KEY = True
    watcher = make_watcher()
    watcher._find_stranded()
    assert watcher.news() == []
    settings.OUTBOX_DEAD_LETTER_BLOCKS_KEY = False
    watcher._find_stranded()
    (news,) = watcher.news()
    assert isinstance(news, Stranded)
    assert list(news.oldest) == ["acme"]


def test_a_lane_that_is_said_to_have_work_is_claimed_to_find_out(make_watcher: MakeWatcher, tables: Tables) -> None:
    """Its events may have been discarded, and it would count as waiting for ever."""
    put_lane(tables, "empty", has_work=True)
    put_lane(tables, "held", has_work=True, owner=SOMEBODY_ELSE, leased_until="2100-01-01")
    watcher = make_watcher()
    watcher._find_stranded()
    assert found(watcher) == ["empty"]


def test_a_lane_that_is_being_settled_is_looked_at_another_time(make_watcher: MakeWatcher, tables: Tables) -> None:
    put_lane(tables, "acme", floor="2020-01-01")
    tables.add("k", created_at="2010-01-01")
    watcher = make_watcher()
    with another_session() as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM outbox_lanes FOR NO KEY UPDATE")
        watcher._find_stranded()
        assert watcher.news() == []


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
