"""Express: lanes that have just woken do not wait for the round to end."""

from __future__ import annotations

import threading

import pytest

from outbox.relay.loop import EXPRESS_SECONDS
from outbox.relay.publish import CHUNK
from tests.outbox.relay.conftest import PATIENT, Clock, Driver, MakeRelay, Tables, another_session
from tests.support.mock_cluster import MockCluster
from tests.support.waiting import wait_until


def commit(tables: Tables, driver: Driver, tenant: str, *keys: str) -> None:
    """Events of a tenant, and the relay has been told."""
    tables.add(*keys, tenant=tenant)
    tables.notify(tenant)
    driver.hears(tenant)


@pytest.fixture
def driver(make_relay: MakeRelay) -> Driver:
    """One that does not look by itself."""
    made = make_relay(scan_seconds=600, renew_seconds=60, batch_size=1_000, **PATIENT)
    made.learn("news")
    return made


def test_a_lane_that_wakes_during_a_round_goes_out_before_its_end(driver: Driver, tables: Tables) -> None:
    tables.policy("quiet", weight=2)

    def at(produced: list[str]) -> None:
        if len(produced) == 1:
            commit(tables, driver, "quiet", "a")

    produced = driver.tap(at)
    tables.add_many(1_000, tenant="noisy")
    tables.notify("noisy")
    driver.until(lambda: bool(produced))
    assert produced.index("quiet:a") == CHUNK
    assert len(produced) == 1_001
    assert driver.lane("quiet").virtual_time == 0.5


def test_a_lane_goes_out_while_the_round_waits_for_reports(
    driver: Driver, tables: Tables, mock_cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, ticks=0.001)
    mock_cluster.round_trip(60_000)
    missing = []

    def at(produced: list[str]) -> None:
        if produced == ["noisy:a"]:
            commit(tables, driver, "quiet", "a")
        missing.append(driver.lane("noisy").outstanding)

    produced = driver.tap(at)
    tables.add("a", tenant="noisy")
    tables.notify("noisy")
    driver.until(lambda: bool(produced))
    assert produced == ["noisy:a", "quiet:a"]
    assert missing[1] == 1


def test_a_lane_goes_out_while_the_round_waits_for_the_settle_before(driver: Driver, tables: Tables) -> None:
    def commit_when_all_is_reported() -> None:
        wait_until(lambda: driver.lane("noisy").ids and not driver.relay._senders.outstanding)
        tables.add("a", tenant="quiet")
        tables.notify("quiet")

    application = threading.Thread(target=commit_when_all_is_reported)
    with another_session() as blocker:

        def at(produced: list[str]) -> None:
            match produced[-1]:
                case "noisy:a":
                    blocker.execute("BEGIN; SELECT FROM outbox_lanes FOR UPDATE")
                case "noisy:b":
                    application.start()
                case "quiet:a":
                    assert driver.steering.settling
                    blocker.execute("COMMIT")

        produced = driver.tap(at)
        commit(tables, driver, "noisy", "a")
        driver.until(lambda: driver.steering.settling)
        commit(tables, driver, "noisy", "b")
        driver.until(lambda: tables.count("sent") == 3)
    application.join()
    assert produced == ["noisy:a", "noisy:b", "quiet:a"]


def test_it_runs_once_in_three_milliseconds(driver: Driver, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    produced = driver.tap()
    commit(tables, driver, "a", "1")
    driver.relay._express_if_woken()
    commit(tables, driver, "b", "1")
    clock.now += EXPRESS_SECONDS * 0.9
    driver.relay._express_if_woken()
    assert produced == ["a:1"]
    clock.now += EXPRESS_SECONDS * 0.2
    driver.relay._express_if_woken()
    assert produced == ["a:1", "b:1"]


def test_a_wake_up_right_after_a_claim_is_not_heard_before_lanes_can_be_claimed_again(
    driver: Driver, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heard too early it would wait for the round to end, for nothing speaks of it again."""
    clock = Clock(monkeypatch)
    produced = driver.tap()
    driver.steering.claimed_at = clock.now
    commit(tables, driver, "quiet", "a")
    driver.relay._express_if_woken()
    clock.now += EXPRESS_SECONDS * 1.1
    driver.relay._express_if_woken()
    assert produced == ["quiet:a"]


def test_it_takes_a_quantum_of_a_lane(driver: Driver, tables: Tables) -> None:
    produced = driver.tap()
    commit(tables, driver, "quiet", *"abcdefgh")
    driver.relay._express_if_woken()
    assert produced == ["quiet:a", "quiet:b", "quiet:c", "quiet:d"]
    assert driver.lane("quiet").virtual_time == 4


def test_it_needs_a_notification(driver: Driver, tables: Tables) -> None:
    produced = driver.tap()
    tables.add("a", tenant="quiet")
    driver.tenure.offer(["quiet"], now=0.0)
    driver.relay._express_if_woken()
    assert not produced
    assert not driver.tenure.lanes


def test_a_lane_that_owes_virtual_time_waits_for_its_turn(driver: Driver, tables: Tables) -> None:
    produced = driver.tap()
    tables.add_many(1_500, tenant="noisy")
    tables.notify("noisy")
    driver.until(lambda: len(produced) == 1_000)
    while driver.lane("noisy").outstanding:
        driver.relay._senders.wait(0.01)
    tables.notify("noisy")
    driver.hears("noisy")
    driver.relay._express_if_woken()
    assert len(produced) == 1_000
    driver.until(lambda: len(produced) == 1_500)


def test_a_lane_is_not_fetched_a_second_time_within_its_own_round(driver: Driver, tables: Tables) -> None:
    tables.policy("noisy", batch_quota=600)

    def at(produced: list[str]) -> None:
        if len(produced) == 1:
            tables.notify("noisy")
            driver.hears("noisy")

    produced = driver.tap(at)
    tables.add_many(600, tenant="noisy")
    tables.notify("noisy")
    driver.until(lambda: tables.count("sent") == 600)
    assert len(produced) == 600


def test_it_does_not_run_within_itself(make_relay: MakeRelay, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    driver = make_relay(scan_seconds=600, renew_seconds=60, quantum=CHUNK, **PATIENT)
    driver.learn("news")

    def at(produced: list[str]) -> None:
        if len(produced) == 1:
            commit(tables, driver, "second", "a")
            clock.now += 1

    produced = driver.tap(at)
    tables.add_many(CHUNK, tenant="first")
    tables.notify("first")
    driver.hears("first")
    driver.relay._express_if_woken()
    assert len(produced) == CHUNK
    driver.relay._express_if_woken()
    assert produced[CHUNK:] == ["second:a"]


def test_a_relay_that_was_told_to_stop_begins_nothing(driver: Driver, tables: Tables) -> None:
    produced = driver.tap()
    commit(tables, driver, "quiet", "a")
    driver.relay.stop()
    driver.relay._express_if_woken()
    assert not produced


def test_rounds_become_short_for_a_moment(driver: Driver, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), driver.relay._pace
    before = pace.round_seconds(clock.now)
    commit(tables, driver, "quiet", "a")
    driver.relay._express_if_woken()
    assert pace.round_seconds(clock.now) < before
