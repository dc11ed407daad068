"""Where proofs take place: a database of their own and a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from bench.report import table
from somabrain.embedded.kafka import KafkaBroker
from tests.conftest import StartManage
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
