"""The broker's trouble is nobody's fault, one event's is that event's, and health costs nothing."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.models import Sum

from circuits.models import TenantCircuit
from outbox.api import enqueue
from outbox.models import EventStatus, OutboxAttempt, OutboxEvent
from outbox.operations.backlog import snapshot
from somabrain.embedded import postgres
from somabrain.embedded.cluster import USER, Cluster
from somabrain.embedded.kafka import KafkaBroker
from tests.conftest import StartManage
from tests.proofs.room import OpenRoom, admin, create_topic, moves
from tests.proofs.sizes import FULL, size
from tests.proofs.stage import Stage, all_sent, sent
from tests.proofs.verdicts import judge, least, most, none
from tests.support.waiting import wait_until

TENANTS = [f"tenant-{number:02}" for number in range(100)]


def _first_answer(broker: KafkaBroker) -> float:
    while True:
        try:
            admin(broker).list_topics(timeout=0.5)
        except KafkaException:
            time.sleep(0.02)
        else:
            return time.time()


def _settled_after(moment: float) -> float | None:
    with connection.cursor() as cursor:
        statement = (
            "SELECT extract(epoch FROM min(sent_at))::float8 FROM outbox_events WHERE sent_at > to_timestamp(%s)"
        )
        cursor.execute(statement, [moment])
        (found,) = cursor.fetchone()
    return None if found is None else float(found)


@pytest.mark.timeout(1_200)
def test_b4_an_outage_of_the_broker_is_nobodys_fault(open_room: OpenRoom) -> None:
    """A hundred tenants with a backlog; two relays find out, and one circuit opens, once."""
    room, broker = open_room()
    apart = size(1, 8)
    room.stage.seed(dict.fromkeys(TENANTS, size(1_500, 24_000)))
    room.start_relays("counts", "counts")
    wait_until(lambda: sent() > 0)
    before = room.stage.wait_while_at_work(apart)
    broker.kill()
    wait_until(lambda: moves("*") != [])
    time.sleep(size(3, 120))
    state = TenantCircuit.objects.get(tenant_id="*").state
    counted = snapshot(refresh_if_older_than=timedelta(0)).totals
    starting = threading.Thread(target=broker.start)
    starting.start()
    answered = _first_answer(broker)
    starting.join()
    wait_until(lambda: _settled_after(answered) is not None)
    first = (_settled_after(answered) or answered) - answered
    wait_until(lambda: len(moves("*")) > 1)
    time.sleep(size(0, 8))
    after = room.stage.wait_while_at_work(apart)
    assert not FULL or not all_sent(), "the backlog must not have ended"
    room.stage.wait_until_all_sent(timeout=600)
    room.stop_relays()
    attempts = OutboxEvent.objects.aggregate(Sum("attempts"))["attempts__sum"]
    assert (state, counted.pending > 0) == ("open", True)
    assert moves("*") == [("open", "found_gone"), ("closed", "found_well")]
    judge(
        most("B4", "times that the circuit of all opened", moves("*").count(("open", "found_gone")), 1, small=1),
        none("B4", "pending events that were not told as blocked", counted.pending - counted.blocked),
        none("B4", "circuits of tenants that moved", TenantCircuit.objects.exclude(tenant_id="*").count()),
        none("B4", "dead letters", OutboxEvent.objects.filter(status=EventStatus.FAILED).count()),
        none("B4", "attempts burned", attempts),
        most("B4", "first event after the broker answers, s", first, 1),
        least(
            "B4", "rate within ten seconds of its return, to that before", after.rate() / max(1e-9, before.rate()), 0.9
        ),
    )


@pytest.mark.timeout(600)
def test_b5_poison_is_one_events_trouble(open_room: OpenRoom) -> None:
    """One event larger than the topic takes, among ten thousand of its tenant."""
    room, broker = open_room()
    small = f"{room.stage.topic}-small"
    create_topic(broker, small, **{"max.message.bytes": "300000"})
    room.stage.topic = small
    half = size(1_000, 5_000)
    room.stage.seed({"acme": half}, payload_bytes=100)
    poison = enqueue(topic=small, payload={"filler": "x" * 400_000}, tenant_id="acme", autocommit=True).event_id
    room.stage.seed({"acme": half}, payload_bytes=100, first=half + 1)
    room.start_relays("counts", "counts")
    wait_until(lambda: not OutboxEvent.objects.filter(status__in=["pending", "scheduled"]).exists())
    room.stop_relays()
    dead = list(OutboxEvent.objects.filter(status=EventStatus.FAILED).values_list("id", flat=True))
    judge(
        none("B5", "events given up beside the poisonous one", len(set(dead) ^ {poison})),
        none("B5", "circuits that moved", TenantCircuit.objects.exclude(tenant_id="*").count()),
        none("B5", "attempts of others", OutboxAttempt.objects.exclude(event_id=poison).count()),
    )


@contextmanager
def _measured_database() -> Iterator[Cluster]:
    """A PostgreSQL of this test's own that counts statements; this process works on it as well."""
    directory = Path(tempfile.mkdtemp(prefix="somabrain-"))
    cluster = Cluster(
        binaries=postgres.binaries(),
        directory=directory,
        settings={"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all"},
    )
    usual = connections[DEFAULT_DB_ALIAS]
    try:
        cluster.create()
        cluster.start()
        cluster.create_database("proof")
        place = {"NAME": "proof", "USER": USER, "PASSWORD": cluster.password, "PORT": ""}
        place["HOST"] = str(cluster.socket_directory)
        connections[DEFAULT_DB_ALIAS] = DatabaseWrapper({**usual.settings_dict, **place}, alias=DEFAULT_DB_ALIAS)
        call_command("migrate", verbosity=0)
        yield cluster
    finally:
        connection.close()
        connections[DEFAULT_DB_ALIAS] = usual
        cluster.stop(mode="immediate")
        shutil.rmtree(directory)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("transactional_db")
def test_b6_a_healthy_outbox_writes_nothing_to_circuits(
    start_manage: StartManage, real_kafka: KafkaBroker, tmp_path: Path
) -> None:
    """Counted by pg_stat_statements: every statement that names the circuits, or their view."""
    with _measured_database() as server:
        environment = {
            "DATABASE_URL": server.url("proof"),
            "DEBUG": "true",
            "KAFKA_BOOTSTRAP_SERVERS": real_kafka.bootstrap_servers,
        }
        stage = Stage(environment=environment, start_manage=start_manage, directory=tmp_path / "writers")
        create_topic(real_kafka, stage.topic)
        stage.seed(dict.fromkeys(TENANTS[:50], size(200, 2_000)))
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION pg_stat_statements")
            cursor.execute("SELECT pg_stat_statements_reset()")
        stage.start_relays(2)
        stage.wait_until_all_sent()
        stage.stop_relays()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT query, calls FROM pg_stat_statements WHERE query ILIKE '%%circuits_%%'"
                " AND query NOT ILIKE '%%pg_stat%%'"
            )
            found = cursor.fetchall()
            cursor.execute(
                "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"
                " WHERE relname LIKE 'circuits_%%'"
            )
            (rows,) = cursor.fetchone()
    ours = [query for query, _ in found if "circuits_now" not in query]
    assert any("circuits_now" in query for query, _ in found), "the relays' own statements read them"
    judge(
        none("B6", f"rows of circuits written for {size(10_000, 100_000):,} events", float(rows)),
        none("B6", "statements on circuits besides the relays' own", len(ours)),
    )
