"""A relay of the test's own, one step at a time, and the tables as another session sees them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from django.db import connection as django_connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from pytest_django import Settings

from circuits.process import process
from outbox import wakeup
from outbox.kafka.message import ReceivedEvent, parse_message
from outbox.kafka.topics import TopicState
from outbox.relay import settle, watch
from outbox.relay.lanes import Lane
from outbox.relay.loop import Relay
from outbox.relay.session import Connection, connect
from outbox.relay.tenure import Tenure
from outbox.relay.watch import Watcher
from tests.outbox.relay.tenures import ME, make_tenure
from tests.outbox.relay.watchers import MakeWatcher
from tests.support.mock_cluster import MockCluster
from tests.support.waiting import wait_until

HANG_SECONDS = 60.0
PATIENT = {"delivery_timeout_seconds": 60, "message_timeout_seconds": 80, "lease_seconds": 600}
"""Settings with which nothing is overdue, however slow the machine is."""


class Tables:
    """The outbox's tables through a session of one's own; every statement commits."""

    def __init__(self) -> None:
        self.session = another_session()
        assert self.session.info.dbname.startswith("test_")
        self.execute("SET synchronous_commit = off")

    def execute(self, statement: str, **params: Any) -> list[dict[str, Any]]:
        cursor = self.session.cursor(row_factory=dict_row)
        cursor.execute(statement.encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, **params: Any) -> Any:
        (row,) = self.execute(statement, **params)
        return row if len(row) > 1 else next(iter(row.values()))

    def empty(self) -> None:
        names = (
            "attempts",
            "events",
            "lanes",
            "relays",
            "tenant_policies",
            "tenant_backlogs",
            "backlog_counts",
            "minutes",
        )
        self.execute(";".join(f"DELETE FROM outbox_{name}" for name in names))  # noqa: S608
        self.execute("SET outbox.may_truncate_operator_actions = 'on'")
        self.execute("DELETE FROM circuits_tenant_circuits; TRUNCATE circuits_transitions, outbox_operator_actions")
        process.close()

    def add(self, *keys: str, tenant: str = "acme", topic: str = "news", **columns: Any) -> list[int]:
        """Insert one pending event for each partition key; further columns are the same for all."""
        return [insert_event(self.session, tenant, topic, key, columns) for key in keys]

    def add_many(self, count: int, *, tenant: str = "acme", topic: str = "news", payload_bytes: int = 30) -> None:
        """Insert events without a key."""
        self.execute(
            "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload)"
            " SELECT %(tenant)s, %(topic)s, gen_random_uuid()::text, to_jsonb(repeat('x', %(size)s - 2))"
            " FROM generate_series(1, %(count)s)",
            tenant=tenant,
            topic=topic,
            size=payload_bytes,
            count=count,
        )

    def event(self, event_id: int) -> dict[str, Any]:
        row = self.one("SELECT * FROM outbox_events WHERE id = %(id)s", id=event_id)
        assert isinstance(row, dict)
        return row

    def statuses(self, *event_ids: int) -> list[str]:
        return [self.event(event_id)["status"] for event_id in event_ids]

    def count(self, status: str, tenant: str | None = None) -> int:
        found = self.one(
            "SELECT count(*) FROM outbox_events"
            " WHERE status = %(status)s AND tenant_id = coalesce(%(tenant)s::text, tenant_id)",
            status=status,
            tenant=tenant,
        )
        assert isinstance(found, int)
        return found

    def lane(self, tenant: str = "acme") -> dict[str, Any]:
        row = self.one("SELECT * FROM outbox_lanes WHERE tenant_id = %(t)s", t=tenant)
        assert isinstance(row, dict)
        return row

    def policy(self, tenant: str = "acme", **columns: Any) -> None:
        """Give the tenant this policy and no other."""
        names = ["tenant_id", "updated_at", *columns]
        values = ["%(tenant)s", "now()", *(f"%({name})s" for name in columns)]
        self.execute("DELETE FROM outbox_tenant_policies WHERE tenant_id = %(tenant)s", tenant=tenant)
        self.execute(
            f"INSERT INTO outbox_tenant_policies ({', '.join(names)}) VALUES ({', '.join(values)})",  # noqa: S608
            tenant=tenant,
            **columns,
        )

    def notify(self, *tenants: str) -> None:
        """As a process does that has committed something of theirs."""
        self.execute("SELECT pg_notify(%(channel)s, %(names)s)", channel=wakeup.CHANNEL, names=wakeup.compose(tenants))

    def sessions_of_relays(self, name: str) -> list[int]:
        rows = self.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %(name)s",
            name=f"outbox-relay {name}",
        )
        return [row["pid"] for row in rows]


def is_leased_since(tables: Tables, before: datetime) -> bool:
    """Whether the only lane's lease of five seconds was given between then and now."""
    until = (
        "SELECT leased_until BETWEEN %(before)s + interval '5 s' AND clock_timestamp() + interval '5 s'"
        " FROM outbox_lanes"
    )
    return bool(tables.one(until, before=before))


def another_session() -> psycopg.Connection[Any]:
    params = django_connection.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        params.pop(name, None)
    return psycopg.connect(**params, autocommit=True)


@contextmanager
def lanes_locked() -> Iterator[psycopg.Connection[Any]]:
    """Whoever settles or promotes waits for the whole block."""
    with another_session() as other:
        other.execute("BEGIN; SELECT FROM outbox_lanes FOR NO KEY UPDATE")
        yield other
        other.execute("COMMIT")


def insert_event(session: psycopg.Connection[Any], tenant: str, topic: str, key: str, columns: dict[str, Any]) -> int:
    values = {"payload": {"n": 1}, "dedupe_key": str(uuid.uuid4()), **columns}
    values |= {"tenant_id": tenant, "topic": topic, "partition_key": key}
    wrapped = {name: Jsonb(value) if name in ("payload", "headers") else value for name, value in values.items()}
    names, places = ", ".join(wrapped), ", ".join(f"%({name})s" for name in wrapped)
    statement = f"INSERT INTO outbox_events ({names}) VALUES ({places}) RETURNING id"  # noqa: S608
    (event_id,) = session.execute(statement.encode(), wrapped).fetchone() or (0,)
    return int(event_id)


@pytest.fixture
def tables(db: None) -> Iterator[Tables]:
    """Empty tables, and empty again at the end.

    Emptying these takes milliseconds; Django's flush of all tables takes most of a second.
    """
    opened = Tables()
    opened.empty()
    yield opened
    opened.empty()
    opened.session.close()


@pytest.fixture(autouse=True)
def _waiting_for_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as a test takes: what a slow machine holds locked is not left out."""
    for module in (settle, watch):
        monkeypatch.setattr(module, "LOCK_SECONDS", HANG_SECONDS)


@pytest.fixture
def session(tables: Tables) -> Iterator[Connection]:
    """A session as relays have them."""
    opened = connect("test")
    yield opened
    opened.close()


@pytest.fixture
def tenure(session: Connection) -> Tenure:
    return make_tenure(session)


@pytest.fixture
def make_watcher(tables: Tables) -> Iterator[MakeWatcher]:
    """A watcher that does only what it is told, until it is started."""
    with ExitStack() as made:

        def make(*known: str, wake: Callable[[], None] = lambda: None, relay_id: uuid.UUID = ME) -> Watcher:
            watcher = Watcher(relay_id=relay_id, known=lambda: list(known), wake=wake)
            made.callback(watcher.abandon)
            return watcher

        yield make


MakeRelay = Callable[..., "Driver"]


def end(relay: Relay) -> None:
    """Nothing of it is written any more when the tables are emptied."""
    relay.abandon()
    relay.steering.desk.close()


@pytest.fixture
def make_relay(tables: Tables, mock_cluster: MockCluster, settings: Settings) -> Iterator[MakeRelay]:
    """A relay on the mock cluster that does nothing by itself; arguments are settings of the outbox."""
    with ExitStack() as made:

        def make(**values: Any) -> Driver:
            settings.OUTBOX_KAFKA_CONFIG = {"bootstrap.servers": mock_cluster.bootstrap_servers, "log_level": 0}
            for name, value in values.items():
                setattr(settings, f"OUTBOX_{name.upper()}", value)
            relay = Relay()
            made.callback(end, relay)
            relay._senders.main.warm()
            return Driver(relay)

        yield make


class Driver:
    """Takes a relay through its rounds."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.steering = relay.steering
        self.tenure = relay.steering.tenure

    def round(self) -> bool:
        """One round, and a moment's rest after an empty one."""
        busy = self.relay._round()
        if not busy:
            self.relay._serve(0.005)
        return busy

    def until(self, holds: Callable[[], bool]) -> None:
        """Rounds until it holds; the time limit is a guard against hanging."""
        deadline = time.monotonic() + HANG_SECONDS
        while not holds():
            assert time.monotonic() < deadline, "this never came"
            self.round()

    def drain(self) -> None:
        """Everything under way is settled, and every lane is given back."""
        self.relay._drain()

    def learn(self, *topics: str) -> None:
        """Afterwards these topics can be published to without being asked for."""
        self.until(lambda: all(self.relay._topics.state(topic) is TopicState.OK for topic in topics))

    def tap(self, then: Callable[[list[str]], None] = lambda produced: None) -> list[str]:
        """The message keys that the producer for all is given from now on; `then` is called after each."""
        # However slow this machine is, no other producer takes its place.
        self.relay._senders._suspect_after = HANG_SECONDS
        sender, produced = self.relay._senders.main, list[str]()
        original = sender.produce

        def produce(topic: str, value: str, key: str, *rest: Any) -> None:
            original(topic, value, key, *rest)
            produced.append(key)
            then(produced)

        sender.produce = produce
        return produced

    def hears(self, tenant: str) -> None:
        """Returns once there is a notification of this tenant to hear; one of another may have come late."""

        def heard() -> bool:
            told = [item for item in list(self.steering.listener._heard) if not isinstance(item, BaseException)]
            return any(tenant in payload.split(",") for _, payload in told)

        wait_until(heard)

    def lane(self, tenant: str = "acme") -> Lane:
        return self.tenure.lanes[tenant]

    @property
    def at_rest(self) -> bool:
        return not self.steering.busy and not self.steering.settling


class Clock:
    """The loop's clock, which moves when it is told to, and a little at each look when it `ticks`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, ticks: float = 0.0) -> None:
        self.now = time.monotonic()
        self.ticks = ticks
        monkeypatch.setattr("outbox.relay.loop.time", self)
        monkeypatch.setattr("outbox.relay.publish.time", self)

    def monotonic(self) -> float:
        self.now += self.ticks
        return self.now


def consumed(cluster: MockCluster, *, topic: str = "news") -> list[ReceivedEvent]:
    """Everything on the topic, each partition's in its order."""
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": "reader", "log_level": 0})
    partitions = consumer.list_topics(topic, timeout=HANG_SECONDS).topics[topic].partitions
    places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions]
    there = sum(consumer.get_watermark_offsets(place, timeout=HANG_SECONDS)[1] for place in places)
    consumer.assign(places)
    found: list[ReceivedEvent] = []
    deadline = time.monotonic() + HANG_SECONDS
    while len(found) < there:
        assert time.monotonic() < deadline, f"{len(found)} of {there}"
        found += [parse_message(message) for message in consumer.consume(there - len(found), timeout=0.2)]
    consumer.close()
    return found


def lane(tenant: str = "acme", *, floor: int = 0, **changes: Any) -> Lane:
    """A lane that has just been claimed with work left, at time 0 of both clocks."""
    made = Lane(tenant=tenant, token=1, virtual_time=0.0, floor=floor, now=0.0, deadline=1e9, had_work=True)
    for name, value in changes.items():
        setattr(made, name, value)
    return made
