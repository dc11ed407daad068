"""One tenant's trouble opens that tenant's circuit; one event at a time finds out when it is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError
from pytest_django import Settings

from circuits.errors import StoreUnavailable
from circuits.store import Store
from outbox.kafka import metadata
from outbox.relay.circuit import FEW, Probe
from outbox.relay.lanes import ID, Lane, Row
from tests.outbox.relay.conftest import HANG_SECONDS, PATIENT, Driver, MakeRelay, Tables, consumed
from tests.support.mock_cluster import MockCluster

REFUSED = KafkaError.TOPIC_AUTHORIZATION_FAILED


@pytest.fixture
def driver(make_relay: MakeRelay, settings: Settings, mock_cluster: MockCluster) -> Driver:
    """Three failures in a row open a circuit for a long time; a failed event comes again at once."""
    settings.CIRCUITS_FAILURE_THRESHOLD = 3
    settings.CIRCUITS_RESET_INTERVAL = settings.CIRCUITS_MAX_RESET_INTERVAL = 600
    made = make_relay(backoff_base_seconds=0.001, backoff_max_seconds=0.001, max_attempts=10_000, **PATIENT)
    mock_cluster.create_topic("news")
    made.learn("news")
    return made


def circuit(tables: Tables, tenant: str = "acme") -> dict[str, Any]:
    rows = tables.execute(
        "SELECT c.*, n.state AS visible FROM circuits_tenant_circuits c"
        " JOIN circuits_now n USING (tenant_id, name) WHERE tenant_id = %(t)s AND name = 'publish'",
        t=tenant,
    )
    return rows[0] if rows else {"visible": "closed", "epoch": 0, "trips": 0, "failures": 0}


def is_open(tables: Tables, tenant: str = "acme") -> bool:
    return bool(circuit(tables, tenant)["visible"] == "open")


def let_the_interval_end(tables: Tables, tenant: str = "acme") -> None:
    tables.execute("UPDATE circuits_tenant_circuits SET open_until = now() WHERE tenant_id = %(t)s", t=tenant)


def history(tables: Tables, tenant: str = "acme") -> list[tuple[str, str, str]]:
    rows = tables.execute("SELECT * FROM circuits_transitions WHERE tenant_id = %(t)s ORDER BY id", t=tenant)
    return [(row["from_state"], row["to_state"], row["why"]) for row in rows]


def trip(driver: Driver, tables: Tables, cluster: MockCluster, *, events: int = 20, code: int = REFUSED) -> None:
    """The tenant's only topic is refused until its circuit has opened, and its lane is given back."""
    cluster.fail_topic("refused", code)
    tables.add_many(events, tenant="acme", topic="refused")
    driver.until(lambda: is_open(tables) and "acme" not in driver.tenure.lanes and driver.at_rest)


def attempts(tables: Tables) -> int:
    return int(tables.one("SELECT sum(attempts) FROM outbox_events"))


@pytest.mark.parametrize("code", [REFUSED, KafkaError.UNKNOWN_TOPIC_OR_PART])
def test_a_tenant_that_fails_alone_is_left_alone_and_the_others_go_on(
    driver: Driver, tables: Tables, mock_cluster: MockCluster, code: int
) -> None:
    trip(driver, tables, mock_cluster, code=code)
    assert history(tables) == [("closed", "open", "failures")]
    burned = attempts(tables)
    (other,) = tables.add("a", tenant="globex")
    (waits,) = tables.add("a", tenant="acme")
    tables.notify("acme", "globex")
    driver.until(lambda: tables.statuses(other) == ["sent"])
    assert tables.statuses(waits) == ["pending"]
    assert attempts(tables) == burned
    assert circuit(tables, "globex")["epoch"] == 0


def test_behind_an_open_circuit_no_lane_has_work_and_a_relay_knows_that_it_is_done(
    driver: Driver, tables: Tables, mock_cluster: MockCluster
) -> None:
    trip(driver, tables, mock_cluster)
    tables.execute("UPDATE outbox_events SET status = 'pending', available_at = NULL")
    assert tables.lane()["has_work"] is False
    driver.until(driver.relay._is_empty)
    assert driver.tenure.fleet.waiting == 0


def test_one_event_finds_out_and_then_the_rest_goes(driver: Driver, tables: Tables, mock_cluster: MockCluster) -> None:
    trip(driver, tables, mock_cluster)
    mock_cluster.fail_topic("refused", 0)
    driver.learn("refused")
    let_the_interval_end(tables)
    driver.until(lambda: tables.count("sent") == 20)
    assert history(tables)[1:] == [
        ("open", "half_open", "interval_over"),
        ("half_open", "closed", "probes_succeeded"),
    ]
    assert len(consumed(mock_cluster, topic="refused")) == 20


def test_a_failed_probe_is_one_event_burns_no_attempt_and_opens_again(
    driver: Driver, tables: Tables, mock_cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is refused by the broker itself, so that it is sent."""
    trip(driver, tables, mock_cluster)
    tables.execute("UPDATE outbox_events SET status = 'pending', available_at = NULL, topic = 'closed'")
    driver.learn("closed")
    burned = attempts(tables)
    reports: list[int] = []
    report = Lane.report

    def counted(lane: Lane, row: Row, *rest: Any) -> None:
        reports.append(row[ID])
        report(lane, row, *rest)

    monkeypatch.setattr(Lane, "report", counted)
    mock_cluster.fail_requests(*[KafkaError.POLICY_VIOLATION] * 50)
    for trips in (2, 3):
        let_the_interval_end(tables)
        driver.until(lambda trips=trips: circuit(tables)["trips"] == trips and "acme" not in driver.tenure.lanes)  # type: ignore[misc]
        assert len(reports) == trips - 1
    assert attempts(tables) == burned
    assert tables.count("pending") == 20
    assert tables.lane()["has_work"] is False


def test_several_probes_go_one_after_another(
    driver: Driver, tables: Tables, mock_cluster: MockCluster, settings: Settings
) -> None:
    settings.CIRCUITS_HALF_OPEN_PROBES = 3
    trip(driver, tables, mock_cluster)
    mock_cluster.fail_topic("refused", 0)
    driver.learn("refused")
    most = []
    let_the_interval_end(tables)

    def done() -> bool:
        lane = driver.tenure.lanes.get("acme")
        if lane is not None and not lane.circuit.closed:
            most.append(lane.outstanding + len(lane.ids))
        return tables.count("sent") == 20

    driver.until(done)
    assert max(most) <= 1
    assert circuit(tables)["epoch"] == 5


def test_a_probe_without_an_event_gives_its_leave_back(
    driver: Driver, tables: Tables, mock_cluster: MockCluster
) -> None:
    trip(driver, tables, mock_cluster)
    tables.execute("UPDATE outbox_events SET status = 'discarded'")
    let_the_interval_end(tables)
    driver.tenure.offer(["acme"], now=0.0)
    driver.until(lambda: "acme" in driver.tenure.lanes and driver.lane().circuit.probe is Probe.GRANTED)
    assert circuit(tables)["probe_until"] is not None
    driver.drain()
    driver.steering.desk.close()
    assert circuit(tables)["probe_until"] is None


@pytest.mark.parametrize("code", [KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_a_topic_that_several_tenants_use_is_held_and_moves_no_circuit(
    make_relay: MakeRelay, tables: Tables, settings: Settings, mock_cluster: MockCluster, code: int
) -> None:
    """However long it is missing or forbidden: nothing becomes a dead letter, and all is sent once it is there."""
    settings.CIRCUITS_FAILURE_THRESHOLD = 3
    driver = make_relay(backoff_base_seconds=0.001, backoff_max_seconds=0.001, max_attempts=3, **PATIENT)
    mock_cluster.fail_topic("shared", code)
    # At once, or the first of them has its troubles alone.
    with tables.session.transaction():
        for tenant in ("acme", "globex"):
            tables.add_many(50, tenant=tenant, topic="shared")
    driver.until(lambda: driver.steering.tally.failed_attempts > 1_000)
    assert (tables.count("failed"), tables.one("SELECT max(attempts) FROM outbox_events")) == (0, 1)
    assert attempts(tables) < 1_000
    assert tables.execute("SELECT * FROM circuits_tenant_circuits") == []
    mock_cluster.fail_topic("shared", 0)
    driver.until(lambda: tables.count("sent") == 100)


def test_what_another_relay_has_met_counts_as_well(driver: Driver, tables: Tables, mock_cluster: MockCluster) -> None:
    mock_cluster.fail_topic("shared", KafkaError.UNKNOWN_TOPIC_OR_PART)
    (elsewhere,) = tables.add("a", tenant="globex", topic="shared", status="scheduled", available_at="2100-01-01")
    tables.execute(
        "INSERT INTO outbox_attempts (event_id, relay_id, error_class, code, message)"
        " VALUES (%(id)s, gen_random_uuid(), 'unknown_topic_or_part', 3, 'gone')",
        id=elsewhere,
    )
    tables.add_many(50, tenant="acme", topic="shared")
    driver.until(lambda: driver.steering.tally.failed_attempts > 1_000)
    assert tables.execute("SELECT * FROM circuits_tenant_circuits") == []


def test_poison_moves_no_circuit(driver: Driver, tables: Tables) -> None:
    poison = tables.add(*"abcdefgh", headers={"bad": 1})
    driver.until(lambda: set(tables.statuses(*poison)) == {"failed"})
    driver.drain()
    assert tables.execute("SELECT * FROM circuits_tenant_circuits") == []


def test_a_success_after_failures_is_told_once(driver: Driver, tables: Tables, mock_cluster: MockCluster) -> None:
    tables.execute("INSERT INTO circuits_tenant_circuits (tenant_id, name, failures) VALUES ('acme', 'publish', 2)")
    tables.add_many(10)
    driver.until(lambda: tables.count("sent") == 10)
    driver.until(lambda: circuit(tables)["failures"] == 0)
    revision = circuit(tables)["revision"]
    tables.add_many(10)
    tables.notify("acme")
    driver.until(lambda: tables.count("sent") == 20)
    driver.drain()
    assert circuit(tables)["revision"] == revision


def test_the_healthy_path_has_no_thread_and_no_row(driver: Driver, tables: Tables) -> None:
    tables.add_many(500)
    driver.until(lambda: tables.count("sent") == 500)
    driver.drain()
    assert driver.steering.desk._thread is None
    assert tables.execute("SELECT * FROM circuits_tenant_circuits") == []


def test_where_circuits_cannot_be_reached_publishing_goes_on(
    driver: Driver, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the tenants wait whose circuit is half-open; what happens is told to nobody."""

    def refuse(*_: object, **__: object) -> Any:
        raise StoreUnavailable("gone")

    for name in ("read", "read_many", "apply"):
        monkeypatch.setattr(Store, name, refuse)
    tables.execute(
        "INSERT INTO circuits_tenant_circuits (tenant_id, name, state, epoch, open_until)"
        " VALUES ('acme', 'publish', 'open', 7, now())"
    )
    tables.add_many(50)
    driver.until(lambda: tables.count("sent") == 50)
    assert circuit(tables)["epoch"] == 7


# Staff


@pytest.mark.parametrize("who", ["acme", "*"])
def test_forced_open_stops_the_tenant_or_everyone_and_nothing_is_lost(driver: Driver, tables: Tables, who: str) -> None:
    driver.tenure.settings = replace(driver.tenure.settings, tenure_seconds=600)
    tables.add_many(10)
    driver.until(lambda: tables.count("sent") == 10)
    assert "acme" in driver.tenure.lanes
    tables.execute(
        "INSERT INTO circuits_tenant_circuits (tenant_id, name, override, epoch)"
        " VALUES (%(w)s, 'publish', 'forced_open', 1)",
        w=who,
    )
    driver.until(lambda: "acme" not in driver.tenure.lanes)
    tables.add_many(10)
    tables.notify("acme")
    for _ in range(20):
        driver.round()
    assert tables.count("pending") == 10
    tables.execute("UPDATE circuits_tenant_circuits SET override = 'auto', epoch = 2")
    driver.until(lambda: tables.count("sent") == 20)


def test_forced_closed_records_nothing(driver: Driver, tables: Tables, mock_cluster: MockCluster) -> None:
    tables.execute(
        "INSERT INTO circuits_tenant_circuits (tenant_id, name, override) VALUES ('acme', 'publish', 'forced_closed')"
    )
    mock_cluster.fail_topic("refused", REFUSED)
    tables.add_many(20, topic="refused")
    driver.until(lambda: attempts(tables) > 500)
    assert (circuit(tables)["failures"], history(tables)) == (0, [])


# The broker


def test_an_outage_opens_the_circuit_of_all_once_and_blames_nobody(
    driver: Driver,
    tables: Tables,
    mock_cluster: MockCluster,
    make_relay: MakeRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = make_relay()
    mock_cluster.broker_down()
    tables.add_many(10)

    def both_know() -> bool:
        other.round()
        return driver.tenure.load.stuck and other.tenure.load.stuck

    for each in (driver, other):
        each.relay._topics.ping()
    driver.until(both_know)
    driver.until(lambda: is_open(tables, "*"))
    # An answer that takes its time is no second outage.
    monkeypatch.setattr(metadata, "REQUEST_SECONDS", HANG_SECONDS)
    mock_cluster.broker_up()
    driver.until(lambda: other.round() or tables.count("sent") == 10)
    driver.until(lambda: circuit(tables, "*")["visible"] == "closed")
    driver.until(lambda: other.round() or not other.tenure.load.stuck)
    for each in (driver, other):
        each.steering.desk.close()
    assert history(tables, "*") == [("closed", "open", "found_gone"), ("open", "closed", "found_well")]
    assert circuit(tables)["epoch"] == 0
    assert attempts(tables) == 0


def test_an_outage_that_nobody_ended_is_ended_by_whoever_has_a_broker(driver: Driver, tables: Tables) -> None:
    tables.execute(
        "INSERT INTO circuits_tenant_circuits (tenant_id, name, state, epoch, open_until)"
        " VALUES ('*', 'publish', 'open', 1, now())"
    )
    driver.until(lambda: circuit(tables, "*")["visible"] == "closed")


def test_few_events_go_at_a_time_while_only_failures_come_back(
    driver: Driver, tables: Tables, mock_cluster: MockCluster
) -> None:
    mock_cluster.fail_topic("refused", REFUSED)
    tables.add_many(1, topic="refused")
    driver.until(lambda: attempts(tables) >= 1 and "acme" in driver.tenure.lanes)
    assert driver.lane().allowance(0) == FEW
    tables.add_many(1_000)
    driver.until(lambda: tables.count("sent") == 1_000)
