"""The schema goes up, down and up again on PostgreSQL 15 and on the embedded one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from somabrain.embedded import postgres
from somabrain.embedded.cluster import Cluster
from tests.support.processes import ManageProcess


@contextmanager
def empty_database(cluster: Cluster) -> Iterator[str]:
    name = f"migrations_{uuid.uuid4().hex}"
    cluster.create_database(name)
    try:
        yield cluster.url(name)
    finally:
        with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def migrate(url: str, log: Path, *target: str) -> None:
    process = ManageProcess("migrate", *target, log=log, environment={"DATABASE_URL": url, "DEBUG": "true"})
    try:
        assert process.wait(timeout=120) == 0, process.output()
    finally:
        process.kill()


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {name for (name,) in found}


def rights(url: str, group: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT c.app_label FROM auth_group g JOIN auth_group_permissions gp ON gp.group_id = g.id"
            " JOIN auth_permission p ON p.id = gp.permission_id JOIN django_content_type c ON c.id = p.content_type_id"
            " WHERE g.name = %s",
            [group],
        )
        return {app for (app,) in found}


def goes_up_down_and_up_again(cluster: Cluster, log: Path) -> None:
    with empty_database(cluster) as url:
        migrate(url, log)
        complete = tables(url)
        assert "outbox_events" in complete
        assert rights(url, "Operator") == {"circuits", "outbox", "somabrain"}
        migrate(url, log, "outbox", "zero")
        assert not [name for name in tables(url) if name.startswith("outbox")]
        assert rights(url, "Operator") == {"circuits", "somabrain"}
        migrate(url, log)
        assert tables(url) == complete


def test_migrations_run_both_ways_on_postgresql_15(pg15_server: Cluster, tmp_path: Path) -> None:
    goes_up_down_and_up_again(pg15_server, tmp_path / "log")


def test_migrations_run_both_ways_on_the_embedded_postgresql(tmp_path: Path) -> None:
    goes_up_down_and_up_again(postgres.ensure_running(), tmp_path / "log")
