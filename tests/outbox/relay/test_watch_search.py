"""The search for lanes with work, and the net below the floors."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pytest_django import Settings

from outbox import sql
from outbox.relay import watch
from outbox.relay.session import Connection, query
from outbox.relay.watch import Found, Stranded
from tests.outbox.relay.conftest import Tables, another_session
from tests.outbox.relay.tenures import SOMEBODY_ELSE, put_lane
from tests.outbox.relay.watchers import MakeWatcher, found

# The search


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
    assert "pending events behind the floor of 1 lanes, such as acme" in caplog.text


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
