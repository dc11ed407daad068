"""Where proofs take place: a database of their own and a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from bench.report import table
from circuits.process import process
from somabrain.embedded.kafka import KafkaBroker
from tests.conftest import StartManage
from tests.proofs.room import OpenRoom, Room, create_topic
from tests.proofs.sizes import FULL
from tests.proofs.stage import Stage
from tests.proofs.verdicts import FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FULL and FIGURES:
        terminalreporter.section("proofs: asked, got")
        terminalreporter.write_line(table(FIGURES))


@pytest.fixture
def stage(
    real_kafka: KafkaBroker, start_manage: StartManage, service_environment: dict[str, str], tmp_path: Path
) -> Iterator[Stage]:
    environment = {**service_environment, "KAFKA_BOOTSTRAP_SERVERS": real_kafka.bootstrap_servers}
    yield Stage(environment=environment, start_manage=start_manage, directory=tmp_path / "writers")
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS proof_rows")


@pytest.fixture
def open_room(
    start_kafka: Callable[..., KafkaBroker],
    start_manage: StartManage,
    service_environment: dict[str, str],
    tmp_path: Path,
) -> Iterator[OpenRoom]:
    """A broker of the proof's own, that makes no topics by itself, and nothing running on it yet."""
    rooms: list[Room] = []

    def make(**broker_settings: str) -> tuple[Room, KafkaBroker]:
        broker = start_kafka(auto_create_topics=False, settings=broker_settings)
        environment = {**service_environment, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
        stage = Stage(environment=environment, start_manage=start_manage, directory=tmp_path / "writers")
        create_topic(broker, stage.topic)
        rooms.append(Room(stage, tmp_path))
        return rooms[-1], broker

    yield make
    for room in rooms:
        room.kill()
    process.close()
