"""Whether this process could do its work now: reach the database, find the schema it expects, reach the broker."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache

from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration

from circuits.sessions import open_session
from outbox import conf
from outbox.kafka.config import client_config
from outbox.kafka.metadata import MetadataClient

logger = logging.getLogger(__name__)

DATABASE_SECONDS = 2
"""For connecting, and again for each statement. The broker has a second."""

_Names = set[tuple[str, str]]


def problems() -> dict[str, str]:
    """What is wrong, by the name of the part; empty when ready. Says nothing that an outsider must not read."""
    found = {}
    for part, look in (("database", _look_at_database), ("broker", _look_at_broker)):
        try:
            found.update(look())
        except Exception as error:
            logger.warning("Not ready: the %s could not be looked at: %r", part, error)
            found[part] = "unreachable"
    return found


def _look_at_database() -> dict[str, str]:
    missing = sorted(f"{app}.{name}" for app, name in _unapplied(_applied()))
    return {"migrations": f"not applied: {', '.join(missing)}"} if missing else {}


def _look_at_broker() -> dict[str, str]:
    return {} if MetadataClient(client_config()).probe() else {"broker": "unreachable"}


def _applied() -> _Names:
    """Through a connection of our own, since Django's would wait longer than whoever asks."""
    alias = conf.get().database
    with open_session(alias, name="readiness", connect_timeout=DATABASE_SECONDS) as connection:
        connection.execute(f"SET statement_timeout = '{DATABASE_SECONDS}s'")
        if connection.execute("SELECT to_regclass('django_migrations')").fetchone() == (None,):
            return set()
        return set(connection.execute("SELECT app, name FROM django_migrations").fetchall())


def _unapplied(applied: _Names) -> Iterable[tuple[str, str]]:
    for key, migration in _on_disk().items():
        squashed = migration.replaces and applied.issuperset(migration.replaces)
        if key not in applied and not squashed:
            yield key


@cache
def _on_disk() -> dict[tuple[str, str], Migration]:
    disk: dict[tuple[str, str], Migration] = MigrationLoader(None, replace_migrations=False).disk_migrations
    return disk
