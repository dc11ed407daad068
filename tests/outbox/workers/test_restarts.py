"""qcluster on a database and a broker that go away and come back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from somabrain.embedded import postgres
from somabrain.embedded.cluster import Cluster
from tests.conftest import StartManage
from tests.support.mock_cluster import MockCluster
from tests.support.topics import event_ids
from tests.support.waiting import wait_until

DATABASE = "outbox"


@pytest.fixture
def server() -> Iterator[Cluster]:
    """A PostgreSQL of this test's own, with the tables of the service still to come."""
    # Not below pytest's own directories, which no other user can enter: under root, PostgreSQL runs as one.
    directory = Path(tempfile.mkdtemp(prefix="somabrain-"))
    cluster = Cluster(binaries=postgres.binaries(), directory=directory)
    try:
        cluster.create()
        cluster.start()
        cluster.create_database(DATABASE)
        yield cluster
    finally:
        cluster.stop(mode="immediate")
        shutil.rmtree(directory)


@pytest.fixture
def service_environment(server: Cluster) -> dict[str, str]:
    return {"DATABASE_URL": server.url(DATABASE), "DEBUG": "true"}


class Outbox:
    """The events of that server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def commit(self, count: int) -> None:
        self._ask(
            "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload) "
            "SELECT 'tenant-' || n %% 3, 'orders', gen_random_uuid()::text, '{}' FROM generate_series(1, %s) n",
            count,
        )

    def all_sent(self) -> bool:
        return not self._ask("SELECT id FROM outbox_events WHERE status <> 'sent'")

    def ids(self) -> set[int]:
        return {row[0] for row in self._ask("SELECT id FROM outbox_events")}

    def failed_attempts(self) -> int:
        return len(self._ask("SELECT id FROM outbox_attempts"))

    def _ask(self, statement: str, *params: object) -> list[tuple[int]]:
        with psycopg.connect(self._url) as connection:
            cursor = connection.execute(statement, params)
            return cursor.fetchall() if cursor.description else []


def test_publishing_goes_on_after_restarts_of_the_database_and_the_broker(
    server: Cluster, start_manage: StartManage, mock_cluster: MockCluster
) -> None:
    assert start_manage("migrate", "--verbosity=0").wait(timeout=60) == 0
    outbox = Outbox(server.url(DATABASE))
    qcluster = start_manage("qcluster", env={"KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers})
    outbox.commit(100)
    wait_until(outbox.all_sent)

    outbox.commit(20_000)
    server.stop(mode="immediate")
    qcluster.wait_for_output("A relay failed")
    server.start()
    outbox.commit(100)
    wait_until(outbox.all_sent)

    mock_cluster.broker_down()
    outbox.commit(100)
    mock_cluster.broker_up()
    wait_until(outbox.all_sent)

    assert outbox.failed_attempts() == 0
    assert set(event_ids(mock_cluster.bootstrap_servers, "orders")) == outbox.ids()
    assert qcluster.returncode is None
