"""A relay's rounds, on a real database and a broker in memory."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import psycopg
import pytest

from outbox.relay import late
from outbox.relay.looks import UNTOLD_SECONDS
from outbox.relay.settle import Settle
from outbox.relay.watch import Found
from tests.outbox.relay.conftest import (
    PATIENT,
    Clock,
    Driver,
    MakeRelay,
    Tables,
    another_session,
    consumed,
    insert_event,
)
from tests.support.mock_cluster import MockCluster
from tests.support.waiting import wait_until


def sizes_of_rounds(driver: Driver, produced: list[str], *, until: int) -> list[int]:
    """How many events each round has produced, until so many are."""
    sizes = []
    while len(produced) < until:
        before = len(produced)
        driver.round()
        sizes.append(len(produced) - before)
    return sizes


def lock_lanes(session: psycopg.Connection[Any]) -> None:
    """Nothing of them can be settled until the session commits."""
    session.execute("BEGIN; SELECT FROM outbox_lanes FOR UPDATE")


def test_an_event_becomes_sent_with_its_receipt(
    make_relay: MakeRelay, tables: Tables, mock_cluster: MockCluster
) -> None:
    (event_id,) = tables.add("order-1")
    driver = make_relay()
    driver.until(lambda: tables.statuses(event_id) == ["sent"])
    row = tables.event(event_id)
    (received,) = consumed(mock_cluster)
    assert (row["kafka_partition"], row["kafka_offset"]) == (received.partition, received.offset)
    assert received.event_id == event_id


# What a round may hold


def test_a_round_is_bounded_in_events(make_relay: MakeRelay, tables: Tables) -> None:
    driver = make_relay(batch_size=100)
    driver.learn("news")
    produced = driver.tap()
    tables.add_many(350)
    assert max(sizes_of_rounds(driver, produced, until=350)) == 100


def test_a_round_is_bounded_in_bytes(make_relay: MakeRelay, tables: Tables) -> None:
    driver = make_relay(batch_bytes=50_000)
    driver.learn("news")
    produced = driver.tap()
    for number in range(3):
        tables.add_many(10, tenant=f"tenant-{number}", payload_bytes=10_000)
    assert 0 < max(sizes_of_rounds(driver, produced, until=30)) <= 5


def test_a_round_does_not_wait_for_late_reports_and_neither_does_another_lane(
    make_relay: MakeRelay, tables: Tables, mock_cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While reports of a lane are missing, it sends nothing more."""
    Clock(monkeypatch, ticks=0.001)
    driver = make_relay(**PATIENT)
    driver.learn("news")
    produced = driver.tap()
    mock_cluster.round_trip(60_000)
    tables.add("a", "b", tenant="slow")
    driver.until(lambda: len(produced) == 2)
    assert driver.lane("slow").outstanding == 2
    tables.add("c", tenant="slow")
    tables.add("d", tenant="other")
    driver.until(lambda: len(produced) == 3)
    driver.round()
    assert produced == ["slow:a", "slow:b", "other:d"]
    assert driver.lane("slow").outstanding == 2


# Overlap


def test_a_round_is_fetched_and_produced_while_the_one_before_is_settled(make_relay: MakeRelay, tables: Tables) -> None:
    driver = make_relay(batch_size=50, round_seconds=5, **PATIENT)
    driver.learn("news")
    tables.add_many(100)
    seen = []
    with another_session() as blocker:

        def at(produced: list[str]) -> None:
            if len(produced) == 1:
                lock_lanes(blocker)
            elif len(produced) == 100:
                seen.append((driver.steering.pipeline.behind, tables.count("sent")))
                blocker.execute("COMMIT")

        driver.tap(at)
        driver.until(lambda: tables.count("sent") == 100)
    assert seen == [(True, 0)]


def test_what_is_produced_and_not_settled_stays_within_two_rounds(
    make_relay: MakeRelay, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, never = Settle.run, threading.Event()

    def slow_settle(job: Settle, *arguments: Any) -> None:
        never.wait(0.05)
        settle(job, *arguments)

    monkeypatch.setattr(Settle, "run", slow_settle)
    driver = make_relay(batch_size=50, **PATIENT)
    driver.learn("news")
    unsettled = []
    driver.tap(lambda produced: unsettled.append(len(produced) - driver.steering.tally.published))
    tables.add_many(400)
    driver.until(lambda: tables.count("sent") == 400)
    assert max(unsettled) == 100


def test_what_is_reported_late_counts_as_well(make_relay: MakeRelay, tables: Tables, mock_cluster: MockCluster) -> None:
    """Lanes that wait for reports leave others their turns, and rounds become smaller."""
    driver = make_relay(batch_size=50, round_seconds=0.01, **PATIENT)
    driver.learn("news")
    mock_cluster.round_trip(200)
    unsettled = []
    driver.tap(lambda produced: unsettled.append(len(produced) - driver.steering.tally.published))
    for number in range(40):
        tables.add_many(10, tenant=f"tenant-{number}")
    driver.until(lambda: tables.count("sent") == 400)
    assert max(unsettled) == 100


def test_a_look_behind_finds_nothing_again_that_is_being_settled(
    make_relay: MakeRelay, tables: Tables, mock_cluster: MockCluster
) -> None:
    driver = make_relay(**PATIENT)
    driver.learn("news")
    with another_session() as writer, another_session() as blocker:

        def at(produced: list[str]) -> None:
            if produced[-1] == "acme:early":
                lock_lanes(blocker)
            elif produced[-1] == "acme:next":
                assert tables.count("sent") == 0
                blocker.execute("COMMIT")

        produced = driver.tap(at)
        writer.execute("BEGIN")
        insert_event(writer, "acme", "news", "late", {})
        tables.add("early")
        driver.until(lambda: produced == ["acme:early"] and driver.lane().clean is False and driver.steering.settling)
        writer.execute("COMMIT")
        tables.add("next")
        tables.notify("acme")
        driver.until(lambda: tables.count("sent") == 3)
    assert produced == ["acme:early", "acme:late", "acme:next"]


def test_receipts_of_reports_that_come_during_a_settle_are_stored_with_the_next(
    make_relay: MakeRelay, tables: Tables
) -> None:
    """The lists that a settle was given are its thread's alone."""
    with MockCluster(brokers=2) as cluster:
        cluster.lead("near", broker=1)
        cluster.lead("far", broker=2)
        driver = make_relay(kafka_config={"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0}, **PATIENT)
        driver.learn("near", "far")
        cluster.round_trip(2_000, broker=2)
        for number in range(20):
            tables.add(f"key-{number}", topic="near" if number % 2 else "far")
        with another_session() as blocker:
            driver.tap(lambda produced: None if blocker.info.transaction_status else lock_lanes(blocker))
            driver.until(lambda: driver.steering.settling)
            assert 10 <= driver.lane().outstanding < 20
            while driver.lane().outstanding:
                driver.relay._senders.wait(0.01)
            assert driver.steering.settling
        driver.until(lambda: tables.count("sent") == 20)
        cluster.round_trip(0, broker=2)
        found = [event for topic in ("near", "far") for event in consumed(cluster, topic=topic)]
    receipts = "SELECT id, kafka_partition, kafka_offset FROM outbox_events"
    assert sorted((event.event_id, event.partition, event.offset) for event in found) == sorted(
        tuple(row.values()) for row in tables.execute(receipts)
    )


# News


def test_a_commit_during_its_lanes_round_is_not_missed(make_relay: MakeRelay, tables: Tables) -> None:
    """Neither fetched a second time in the round, nor forgotten when the round finds the lane dry."""
    driver = make_relay(scan_seconds=600, renew_seconds=60, tenure_seconds=600, **PATIENT)
    driver.learn("news")

    def at(produced: list[str]) -> None:
        if len(produced) == 10:
            tables.add("last")
            tables.notify("acme")
            driver.hears("acme")

    produced = driver.tap(at)
    tables.add_many(300)
    tables.notify("acme")
    driver.until(lambda: tables.count("sent") == 301)
    assert len(produced) == 301
    assert produced[-1] == "acme:last"


def test_a_notification_that_comes_while_a_lane_is_released_is_honoured(
    make_relay: MakeRelay, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, ticks=0.001)
    driver = make_relay(scan_seconds=600, renew_seconds=60, tenure_seconds=10, **PATIENT)
    driver.learn("news")
    (first,) = tables.add("first")
    tables.notify("acme")
    driver.until(lambda: tables.statuses(first) == ["sent"] and driver.at_rest)
    held = driver.lane()
    with another_session() as blocker:
        lock_lanes(blocker)
        clock.now += 10
        driver.until(lambda: held.leaving and driver.steering.settling)
        held.woken = False
        (second,) = tables.add("second")
        tables.notify("acme")
        driver.until(lambda: held.woken)
    driver.until(lambda: tables.statuses(second) == ["sent"])
    assert driver.lane().token == held.token + 1


def test_where_sessions_are_hidden_lanes_are_read_again_from_their_beginning(
    make_relay: MakeRelay, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make_relay()
    tables.add("first")
    driver.until(lambda: tables.count("sent") == 1 and driver.at_rest)
    tables.execute("UPDATE outbox_events SET status = 'pending', created_at = created_at - interval '1 hour'")
    monkeypatch.setattr(driver.relay._lookout, "must_read_all", lambda now: True)
    driver.until(lambda: tables.count("sent") == 1)


def test_more_late_events_than_fit_into_memory_are_all_published_in_order(
    make_relay: MakeRelay, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late, "MOST_BEHIND", 30)
    monkeypatch.setattr(late, "MOST_LATE", 12)
    driver = make_relay()
    driver.learn("news")
    produced, names = driver.tap(), [f"tenant-{number}" for number in range(8)]
    with another_session() as writer, writer.transaction():
        for number, tenant in itertools.product(range(10), names):
            insert_event(writer, tenant, "news", f"late-{number}", {})
        for tenant in names:
            tables.add("early", tenant=tenant)
        driver.until(lambda: tables.count("sent") == len(names))
    driver.until(lambda: tables.count("sent") == 11 * len(names))
    for tenant in names:
        mine = [key.partition(":")[2] for key in produced if key.startswith(tenant)]
        assert mine == ["early", *(f"late-{number}" for number in range(10))]


# Rest


@pytest.mark.parametrize(("untold", "asked"), [(False, [20, 50, 100]), (True, [1, 2, 5, 10, 20, 50, 100])])
def test_looks_become_rare_while_there_is_nothing(
    make_relay: MakeRelay, tables: Tables, monkeypatch: pytest.MonkeyPatch, untold: bool, asked: list[int]
) -> None:
    """The first ones are for those whose commits nobody tells of."""
    clock = Clock(monkeypatch)
    driver = make_relay(idle_seconds=0.15, **PATIENT)
    tables.add("first")
    driver.until(lambda: tables.count("sent") == 1 and driver.at_rest)
    clock.now += UNTOLD_SECONDS * 1.1
    tables.add("second")
    if not untold:
        tables.notify("acme")
        wait_until(lambda: driver.steering.listener.waiting)
    driver.until(lambda: tables.count("sent") == 2 and driver.at_rest)
    held, began, looks = driver.lane(), clock.now, []
    for millisecond in range(700):
        clock.now = began + millisecond / 1000
        held.hungry = False
        driver.relay._wake.set()
        driver.relay._rest()
        if held.hungry:
            looks.append(millisecond)
    pauses = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert pauses[: len(asked)] == pytest.approx(asked, abs=1)
    assert pauses[len(asked) :] == pytest.approx([150] * (len(pauses) - len(asked)), abs=1)
    assert len(pauses) > len(asked)


# To the end


def test_until_empty_waits_for_what_commits_meanwhile(make_relay: MakeRelay, tables: Tables) -> None:
    """Nothing tells of it but the search."""
    driver = make_relay()
    driver.learn("news")

    def one_more(produced: list[str]) -> None:
        if len(produced) < 4:
            tables.add("a", tenant=f"tenant-{len(produced)}")

    produced = driver.tap(one_more)
    tables.add("a", tenant="tenant-0")
    driver.relay.run(until_empty=True)
    assert produced == [f"tenant-{number}:a" for number in range(4)]
    assert tables.count("sent") == 4


def test_until_empty_waits_for_a_tenant_that_its_rate_holds_back(make_relay: MakeRelay, tables: Tables) -> None:
    tables.policy(rate=0.9)
    tables.add("a", "b")
    make_relay().relay.run(until_empty=True)
    assert tables.count("sent") == 2


def test_until_empty_looks_behind_the_floors(make_relay: MakeRelay, tables: Tables) -> None:
    tables.add("a", "b")
    tables.execute("INSERT INTO outbox_lanes (tenant_id, floor) VALUES ('acme', '2100-01-01')")
    make_relay().relay.run(until_empty=True)
    assert tables.count("sent") == 2


def test_until_empty_does_not_believe_a_search_from_before_the_last_work(make_relay: MakeRelay, tables: Tables) -> None:
    driver = make_relay(scan_seconds=600)
    driver.steering.watcher.search_thoroughly()
    wait_until(lambda: any(isinstance(news, Found) and news.complete for news in list(driver.steering.watcher._news)))
    driver.steering.hear(0.0)
    assert driver.steering.searched is not None
    tables.add("a")
    driver.relay._active_at = time.monotonic()
    driver.relay.run(until_empty=True)
    assert tables.count("sent") == 1


def test_a_stopped_relay_settles_what_is_under_way_and_gives_its_lanes_back(
    make_relay: MakeRelay, tables: Tables, mock_cluster: MockCluster
) -> None:
    driver = make_relay(batch_size=100, **PATIENT)
    driver.learn("news")
    mock_cluster.round_trip(300)
    produced = driver.tap()
    tables.add_many(150, tenant="a")
    tables.add_many(150, tenant="b")
    driver.until(lambda: len(produced) > 0)
    assert driver.relay._senders.outstanding
    driver.relay.stop()
    driver.relay.run()
    assert tables.count("sent") == len(produced) < 300
    assert tables.one("SELECT count(*) FROM outbox_lanes WHERE owner IS NOT NULL") == 0
    mock_cluster.round_trip(0)
    make_relay().relay.run(until_empty=True)
    assert len(consumed(mock_cluster)) == tables.count("sent") == 300
