"""Whatever goes wrong for one lane, or for all: nobody else waits, nothing is lost, keys keep their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from confluent_kafka import KafkaError

from outbox.errors import ProducerLost
from outbox.relay import metrics
from outbox.relay.senders import QUARANTINE_SECONDS
from tests.outbox.relay.conftest import PATIENT, Clock, Driver, MakeRelay, Tables, consumed
from tests.support.mock_cluster import MockCluster
from tests.support.waiting import wait_until

SESSIONS = {"rounds", "settle", "watch", "listen"}
OVERDUE_SECONDS = PATIENT["delivery_timeout_seconds"] + 1


@pytest.fixture
def mock_cluster() -> Iterator[MockCluster]:
    """Two brokers, each with a topic of its own, so that one may be gone while the other answers."""
    with MockCluster(brokers=2) as cluster:
        cluster.lead("near", broker=1)
        cluster.lead("far", broker=2)
        yield cluster


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch, ticks=0.001)


@pytest.fixture
def driver(make_relay: MakeRelay) -> Driver:
    """Knows both topics, and waits a long time before a second attempt."""
    made = make_relay(backoff_base_seconds=300, **PATIENT)
    made.relay._outcomes._random = lambda: 1.0
    made.learn("near", "far")
    return made


def get_stuck(driver: Driver, tables: Tables, cluster: MockCluster, *keys: str, **columns: Any) -> list[int]:
    """Events that are produced and cannot be delivered, because the broker of their topic is gone."""
    cluster.broker_down(2)
    found = tables.add(*keys, tenant="stuck", topic="far", **columns)
    driver.until(lambda: "stuck" in driver.tenure.lanes and driver.lane("stuck").outstanding == len(keys))
    return found


def suspect(driver: Driver, clock: Clock) -> None:
    """The broker has answered while the stuck lane's reports stay away."""
    clock.now += 2
    driver.until(lambda: driver.relay._senders.answers(driver.lane("stuck").produced_at))


def make_retries_due(tables: Tables) -> None:
    tables.execute("UPDATE outbox_events SET available_at = now() WHERE status = 'scheduled'")


# One lane's trouble


def test_a_stuck_partition_delays_no_other_lane(
    driver: Driver, clock: Clock, tables: Tables, mock_cluster: MockCluster
) -> None:
    (stuck,) = get_stuck(driver, tables, mock_cluster, "a")
    held = driver.lane("stuck")
    (before,) = tables.add("a", tenant="healthy", topic="near")
    driver.until(lambda: tables.statuses(before) == ["sent"])
    suspect(driver, clock)
    driver.until(lambda: driver.relay._senders.main is not held.sender)
    (after,) = tables.add("a", tenant="healthy", topic="near")
    driver.until(lambda: tables.statuses(after) == ["sent"])
    assert held.outstanding == 1
    mock_cluster.broker_up(2)
    driver.until(lambda: tables.statuses(stuck) == ["sent"])
    assert [event.event_id for event in consumed(mock_cluster, topic="far")] == [stuck]


def test_a_topic_without_a_leader_delays_no_other_lane(
    driver: Driver, tables: Tables, mock_cluster: MockCluster
) -> None:
    mock_cluster.fail_topic("headless", KafkaError.LEADER_NOT_AVAILABLE)
    (waits,) = tables.add("a", tenant="waits", topic="headless")
    driver.until(lambda: "waits" in driver.tenure.lanes and driver.lane("waits").topic_wait == "headless")
    (healthy,) = tables.add("a", tenant="healthy", topic="near")
    driver.until(lambda: tables.statuses(healthy) == ["sent"])
    assert driver.lane("waits").topic_wait == "headless"
    mock_cluster.fail_topic("headless", 0)
    driver.until(lambda: tables.statuses(waits) == ["sent"])
    assert tables.event(waits)["attempts"] == 0


def test_a_missing_topic_costs_its_events_an_attempt_and_nobody_else_anything(
    driver: Driver, tables: Tables, mock_cluster: MockCluster
) -> None:
    mock_cluster.fail_topic("gone", KafkaError.UNKNOWN_TOPIC_OR_PART)
    tenants = ("a", "b")
    gone = [event_id for tenant in tenants for event_id in tables.add("1", tenant=tenant, topic="gone")]
    behind = [event_id for tenant in tenants for event_id in tables.add("1", tenant=tenant, topic="near")]
    beside = [event_id for tenant in (*tenants, "c") for event_id in tables.add("2", tenant=tenant, topic="near")]
    driver.until(lambda: set(tables.statuses(*gone)) == {"scheduled"} and set(tables.statuses(*beside)) == {"sent"})
    assert [tables.event(event_id)["attempts"] for event_id in gone + behind + beside] == [1, 1, 0, 0, 0, 0, 0]
    assert set(tables.statuses(*behind)) == {"pending"}
    mock_cluster.fail_topic("gone", 0)
    driver.learn("gone")
    make_retries_due(tables)
    driver.until(lambda: tables.count("sent") == 7)


def test_past_the_deadline_a_keys_events_are_given_up_together_and_keep_their_order(
    driver: Driver, clock: Clock, tables: Tables, mock_cluster: MockCluster
) -> None:
    given_up = get_stuck(driver, tables, mock_cluster, "k", "k", "k")
    (successor,) = tables.add("k", tenant="stuck", topic="far")
    (other,) = tables.add("other", tenant="stuck", topic="near")
    suspect(driver, clock)
    clock.now += OVERDUE_SECONDS
    driver.until(lambda: tables.statuses(*given_up, other) == ["scheduled"] * 3 + ["sent"])
    assert tables.statuses(successor) == ["pending"]
    assert driver.lane("stuck").suspect_until > clock.now
    mock_cluster.broker_up(2)
    make_retries_due(tables)
    driver.until(lambda: tables.count("sent") == 5)
    found = consumed(mock_cluster, topic="far")
    assert [event.event_id for event in found] == [*given_up, successor]
    assert [event.attempt for event in found] == [2, 2, 2, 1]


def test_suspicion_ends_and_the_lane_shares_a_producer_again(
    driver: Driver, clock: Clock, tables: Tables, mock_cluster: MockCluster
) -> None:
    get_stuck(driver, tables, mock_cluster, "k")
    suspect(driver, clock)
    clock.now += OVERDUE_SECONDS
    driver.until(lambda: tables.count("scheduled") == 1)
    mock_cluster.broker_up(2)
    clock.now += QUARANTINE_SECONDS
    produced = driver.tap()
    tables.add("other", tenant="stuck", topic="near")
    driver.until(lambda: tables.count("sent") == 1)
    assert produced == ["stuck:other"]


# Everyone's trouble


def test_an_outage_burns_no_attempts_and_ends_by_itself(
    driver: Driver, clock: Clock, tables: Tables, mock_cluster: MockCluster
) -> None:
    get_stuck(driver, tables, mock_cluster, "a", "a")
    mock_cluster.broker_down(1)
    tables.add("a", "a", tenant="other", topic="near")
    driver.until(lambda: driver.relay._topics.watching)
    assert metrics.BROKER_DOWN._value.get() == 1
    clock.now += OVERDUE_SECONDS
    driver.until(lambda: not driver.lane("stuck").outstanding and driver.at_rest)
    assert tables.count("pending") == 4
    mock_cluster.broker_up(1)
    mock_cluster.broker_up(2)
    driver.until(lambda: tables.count("sent") == 4)
    assert metrics.BROKER_DOWN._value.get() == 0
    assert not tables.execute("SELECT FROM outbox_events WHERE attempts > 0")
    assert not tables.execute("SELECT FROM outbox_attempts")
    ids = [event.event_id for topic in ("far", "near") for event in consumed(mock_cluster, topic=topic)]
    assert list(dict.fromkeys(ids)) == sorted(ids)


def test_a_drain_waits_for_reports_no_longer_than_their_deadline(
    driver: Driver, clock: Clock, make_relay: MakeRelay, tables: Tables, mock_cluster: MockCluster
) -> None:
    (stuck,) = get_stuck(driver, tables, mock_cluster, "a")
    clock.ticks = 1.0
    driver.relay.stop()
    driver.relay.run()
    assert tables.lane("stuck")["owner"] is None
    assert tables.statuses(stuck) in (["pending"], ["scheduled"])
    mock_cluster.broker_up(2)
    make_retries_due(tables)
    clock.ticks = 0.001
    make_relay().until(lambda: tables.statuses(stuck) == ["sent"])


# The end of a relay


def test_a_producer_that_cannot_go_on_ends_the_relay_and_the_next_one_loses_nothing(
    driver: Driver, make_relay: MakeRelay, tables: Tables, mock_cluster: MockCluster
) -> None:
    mock_cluster.fail_requests(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
    ids = tables.add("a", "b", "a", topic="near")
    with pytest.raises(ProducerLost):
        driver.until(lambda: tables.count("sent") == 3)
    driver.relay.abandon()
    make_relay().until(lambda: tables.count("sent") == 3)
    assert {event.event_id for event in consumed(mock_cluster, topic="near")} == set(ids)


@pytest.mark.parametrize("session", sorted(SESSIONS))
def test_a_relay_that_lost_a_session_purges_before_it_lets_its_lanes_go(
    session: str, driver: Driver, make_relay: MakeRelay, tables: Tables, mock_cluster: MockCluster
) -> None:
    """From then on nothing of it is delivered, for its lanes may be another relay's."""
    (stuck,) = get_stuck(driver, tables, mock_cluster, "a")
    wait_until(lambda: all(len(tables.sessions_of_relays(name)) == 1 for name in SESSIONS))
    (pid,) = tables.sessions_of_relays(session)
    tables.execute("SELECT pg_terminate_backend(%(pid)s)", pid=pid)
    with pytest.raises(psycopg.OperationalError):
        driver.until(lambda: False)
    wait_until(lambda: not tables.sessions_of_relays(session))
    sessions_at_purge = []
    purge = driver.relay._senders.main.purge_and_close

    def purge_and_tell(timeout: float) -> int:
        sessions_at_purge.append(relay_sessions(tables))
        return purge(timeout)

    driver.relay._senders.main.purge_and_close = purge_and_tell  # type: ignore[method-assign]
    driver.relay.abandon()
    assert sessions_at_purge == [SESSIONS - {session}]
    wait_until(lambda: not relay_sessions(tables))
    mock_cluster.broker_up(2)
    make_relay().until(lambda: tables.statuses(stuck) == ["sent"])
    assert [event.event_id for event in consumed(mock_cluster, topic="far")] == [stuck]


def relay_sessions(tables: Tables) -> set[str]:
    return {name for name in SESSIONS if tables.sessions_of_relays(name)}
