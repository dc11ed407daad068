"""The database and the broker that the benches work on: never data of anybody else.

The benches make a database of their own, and drop it, on the server of `DATABASE_URL`, or on the embedded one. They
use topics of their own on the broker of `KAFKA_BOOTSTRAP_SERVERS`, or on an Apache Kafka that they start.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from bench.service import configure
from somabrain.embedded import kafka, postgres
from somabrain.embedded.paths import CACHE, private


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where to write and where to publish."""

    database_url: str
    kafka: str


@contextmanager
def provided() -> Iterator[Servers]:
    """A migrated, empty database and a real broker; this process's Django is set up for them."""
    with ExitStack() as stack:
        bootstrap_servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or stack.enter_context(_own_broker())
        servers = Servers(database_url=stack.enter_context(_own_database()), kafka=bootstrap_servers)
        configure(database_url=servers.database_url, kafka=servers.kafka)
        _migrate()
        yield servers


@contextmanager
def _own_broker() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-kafka-", dir=private(CACHE)) as directory:
        broker = kafka.start(data_dir=Path(directory))
        try:
            yield broker.bootstrap_servers
        finally:
            broker.stop()


@contextmanager
def _own_database() -> Iterator[str]:
    name = f"outbox_bench_{os.getpid()}"
    server = os.environ.get("DATABASE_URL")
    if server:
        url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    else:
        cluster = postgres.ensure_running()
        server, url = cluster.url(postgres.DATABASE), cluster.url(name)
    _execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield url
    finally:
        _execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(database_url: str, statement: sql.Composed) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statement)


def _migrate() -> None:
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", verbosity=0)
    connections.close_all()
