"""Servers that are killed under load and come back: nothing is lost, nobody is blamed, and work goes on by itself."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import DatabaseWrapper

from outbox.models import EventStatus, OutboxAttempt, OutboxEvent, OutboxRelay
from somabrain.embedded import postgres
from somabrain.embedded.cluster import USER, Cluster
from somabrain.embedded.kafka import KafkaBroker
from tests.conftest import StartManage
from tests.proofs.room import create_topic
from tests.proofs.sizes import size
from tests.proofs.stage import Stage, sent
from tests.proofs.verdicts import judge, least, most, none
from tests.proofs.writers import Load
from tests.support.waiting import wait_until

TENANTS = {f"tenant-{number}": 1.0 for number in range(10)}
TIMES = size(1, 3)


def _first_answer(broker: KafkaBroker) -> float:
    """When the metadata call of a fresh client was first answered, in seconds since 1970."""
    while True:
        try:
            AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0}).list_topics(timeout=0.5)
        except KafkaException:
            time.sleep(0.02)
        else:
            return time.time()


def _outage(broker: KafkaBroker, *, seconds: float) -> float:
    """SIGKILL, and a start after so many seconds. Returns when it answered again."""
    broker.kill()
    time.sleep(seconds)
    starting = threading.Thread(target=broker.start)
    starting.start()
    answered = _first_answer(broker)
    starting.join()
    return answered


@pytest.mark.timeout(900)
def test_c1_a_broker_that_is_killed_under_load(
    start_kafka: Callable[..., KafkaBroker],
    start_manage: StartManage,
    service_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """The backlog lasts for all of it, and writers commit meanwhile."""
    broker = start_kafka()
    environment = {**service_environment, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
    stage = Stage(environment=environment, start_manage=start_manage, directory=tmp_path / "writers")
    apart = size(1, 5)
    create_topic(broker, stage.topic)
    stage.seed(dict.fromkeys(TENANTS, size(8_000, 350_000)))
    stage.start_relays(2)
    wait_until(lambda: sent() > 0)
    first, full = [], []
    with stage.writing(Load(topic=stage.topic, tenants=TENANTS, rate=20), processes=1):
        for _ in range(TIMES):
            before = stage.wait_while_at_work(apart)
            stage.kills.append(time.time())
            answered = _outage(broker, seconds=size(1, 5))
            stage.kills.append(answered)
            wait_until(lambda answered=answered: _settled_after(answered) is not None)  # type: ignore[misc]
            first.append((_settled_after(answered) or answered) - answered)
            if time.time() < answered + size(0, 10):
                time.sleep(answered + size(0, 10) - time.time())
            full.append(stage.wait_while_at_work(apart).rate() / max(1e-9, before.rate()))
    stage.wait_until_all_sent(timeout=300)
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    # Before an outage, or while it lasted: what waited then was perhaps sent as soon as the broker was back, and again.
    _, unexplained = verdict.duplicates_by_kill(stage.kills)
    judge(
        none("C1", "events lost or out of order", len(verdict.faults)),
        none("C1", "duplicates that no outage explains", len(unexplained)),
        none("C1", "failed attempts", OutboxAttempt.objects.count()),
        none("C1", "dead letters", OutboxEvent.objects.filter(status=EventStatus.FAILED).count()),
        most("C1", "first event after a fresh client's answer, s", max(first), 1),
        # Windows of a few seconds: on a shared machine any of them may have had less of it.
        least("C1", f"rate ten seconds after, to that before, the median of {TIMES}", median(full), 0.9),
    )


def _settled_after(moment: float) -> float | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM min(sent_at)) FROM outbox_events WHERE sent_at > to_timestamp(%s)", [moment]
        )
        (found,) = cursor.fetchone()
    return None if found is None else float(found)


@pytest.fixture
def server(transactional_db: None) -> Iterator[Cluster]:
    """A PostgreSQL of this test's own, which this process works on as well while the test runs."""
    # Not below pytest's own directories, which no other user can enter: under root, PostgreSQL runs as one.
    directory = Path(tempfile.mkdtemp(prefix="somabrain-"))
    cluster = Cluster(binaries=postgres.binaries(), directory=directory)
    usual = connections[DEFAULT_DB_ALIAS]
    try:
        cluster.create()
        cluster.start()
        cluster.create_database("proof")
        connections[DEFAULT_DB_ALIAS] = _connection(cluster, like=usual)
        call_command("migrate", verbosity=0)
        yield cluster
    finally:
        connection.close()
        connections[DEFAULT_DB_ALIAS] = usual
        cluster.stop(mode="immediate")
        shutil.rmtree(directory)


def _connection(cluster: Cluster, *, like: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    place = {"NAME": "proof", "USER": USER, "PASSWORD": cluster.password, "HOST": str(cluster.socket_directory)}
    return DatabaseWrapper({**like.settings_dict, **place, "PORT": ""}, alias=DEFAULT_DB_ALIAS)


@pytest.mark.timeout(900)
def test_c2_a_database_that_crashes_under_load(
    server: Cluster, start_manage: StartManage, real_kafka: KafkaBroker, tmp_path: Path
) -> None:
    """Stopped without a checkpoint and started again: it recovers, and so do relays and writers."""
    environment = {
        "DATABASE_URL": server.url("proof"),
        "DEBUG": "true",
        "KAFKA_BOOTSTRAP_SERVERS": real_kafka.bootstrap_servers,
    }
    stage = Stage(environment=environment, start_manage=start_manage, directory=tmp_path / "writers")
    stage.start_relays(2)
    recovered = []
    load = Load(topic=stage.topic, tenants=TENANTS, rate=100, outages=True)
    with stage.writing(load, processes=2):
        for _ in range(TIMES):
            time.sleep(size(1, 5))
            connection.close()
            stage.kills.append(time.time())
            server.stop(mode="immediate")
            time.sleep(1)
            server.start()
            started = time.time()
            wait_until(lambda started=started: _settled_after(started) is not None)  # type: ignore[misc]
            recovered.append((_settled_after(started) or started) - started)
        time.sleep(1)
    stage.wait_until_all_sent()
    wait_until(lambda: OutboxRelay.objects.count() == 2)
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    _, unexplained = verdict.duplicates_by_kill(stage.kills)
    judge(
        none("C2", "events lost or out of order", len(verdict.faults)),
        none("C2", "duplicates that no crash explains", len(unexplained)),
        most("C2", "first event after the database is back, s", max(recovered), 5),
    )
