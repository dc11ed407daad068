"""Whether the database can be reached, has the schema, and shows what relays need to see."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from outbox import sql
from outbox.operations.checking.finding import Finding, error, ok, warning

OLDEST_VERSION = 14
OLDEST_TESTED = 15
_APPS = ("outbox", "circuits")


def reach(alias: str) -> Iterator[Finding]:
    """Connects. Raises `OperationalError` when there is no answer."""
    connection = connections[alias]
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000")
        ((text, version),) = cursor.fetchall()
    if version < OLDEST_VERSION:
        yield error("database", f"PostgreSQL {text} is too old", f"upgrade it to {OLDEST_VERSION} or newer")
    elif version < OLDEST_TESTED:
        yield warning("database", f"PostgreSQL {text} is older than what is tested", f"upgrade it to {OLDEST_TESTED}")
    else:
        yield ok("database", f"PostgreSQL {text} answers")


def missing_migrations(alias: str) -> list[str]:
    """Names of those that are not applied."""
    executor = MigrationExecutor(connections[alias])
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] in _APPS and apps.is_installed(key[0])]
    return [f"{each.app_label}.{each.name}" for each, _ in executor.migration_plan(targets)]


def rights(alias: str) -> Finding:
    """Whether the sessions of others are shown, by which relays know what may still be committed."""
    with connections[alias].cursor() as cursor:
        cursor.execute(sql.load("writers"))
        hidden = any(row[2] for row in cursor.fetchall())
    if hidden:
        return warning(
            "rights",
            "other roles' sessions are hidden, so events that commit late are found late, and out of order",
            "GRANT pg_read_all_stats to the role that relays use",
        )
    return ok("rights", "all sessions can be seen")
