from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from outbox.kafka import metadata
from tests.support.mock_cluster import MockCluster


@pytest.fixture
def broker(mock_cluster: MockCluster, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> MockCluster:
    """It has all the time to answer that it needs."""
    monkeypatch.setattr(metadata, "REQUEST_SECONDS", 30.0)
    settings.OUTBOX_KAFKA_CONFIG = {"bootstrap.servers": mock_cluster.bootstrap_servers}
    return mock_cluster


def test_health_needs_neither_database_nor_broker(client: Client, mock_cluster: MockCluster) -> None:
    mock_cluster.close()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_ready_when_database_schema_and_broker_are_there(
    client: Client, transactional_db: None, broker: MockCluster
) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "problems": {}})


def test_not_ready_without_a_broker(
    client: Client, transactional_db: None, broker: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "REQUEST_SECONDS", 0.1)
    broker.broker_down()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (503, {"broker": "unreachable"})


def test_not_ready_without_a_database_and_nothing_is_given_away(
    client: Client, broker: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = {"host": "127.0.0.1", "port": 1, "user": "ann", "password": "sesame", "dbname": "shop"}
    monkeypatch.setattr(connection, "get_connection_params", lambda: dict(nowhere))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (503, {"database": "unreachable"})
    assert not [secret for secret in ("ann", "sesame", "shop", "127.0.0.1") if secret in answer.text]


def test_not_ready_while_a_migration_is_missing(client: Client, transactional_db: None, broker: MockCluster) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'outbox' AND name = '0001_initial' RETURNING *")
        row = cursor.fetchone()
        try:
            answer = client.get("/readyz")
        finally:
            cursor.execute("INSERT INTO django_migrations VALUES (%s, %s, %s, %s)", row)
    assert answer.status_code == 503
    assert answer.json()["problems"] == {"migrations": "not applied: outbox.0001_initial"}


def test_not_ready_on_an_empty_database(
    client: Client, transactional_db: None, broker: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = {**connection.get_connection_params(), "dbname": "postgres"}
    monkeypatch.setattr(connection, "get_connection_params", lambda: dict(empty))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "outbox.0001_initial" in answer.json()["problems"]["migrations"]
