"""Tables are emptied after a test whose transactions were real.

Django would empty every table and make its permissions anew, which takes longer than most of these tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection
from django.test import TransactionTestCase

from tests.support import groups
from tests.support.database import fingerprint, union

_FILLED_BY_MIGRATIONS = ("auth_group", "auth_group_permissions", "auth_permission", "django_content_type")

_as_migrated: list[tuple[Any, ...]] = []


def begin() -> None:
    """For a database that has just been migrated."""
    _as_migrated[:] = fingerprint(_FILLED_BY_MIGRATIONS)
    whatever_there_is: Callable[[Any], None] = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]

    def end(case: Any) -> None:
        if set(case.databases) - {DEFAULT_DB_ALIAS}:
            whatever_there_is(case)
            _remember_as_migrated()
        else:
            empty()

    TransactionTestCase._fixture_teardown = end  # type: ignore[attr-defined]


def empty() -> None:
    """As migrations leave it, also when a test has changed what they filled."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    if not tables:
        # Of a database without any, which a test looked at instead.
        return
    if found := _with_rows(set(tables) - set(_FILLED_BY_MIGRATIONS)):
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(found)} CASCADE")
    if fingerprint(_FILLED_BY_MIGRATIONS) != _as_migrated:
        call_command("flush", verbosity=0, interactive=False)
        _remember_as_migrated()


def _remember_as_migrated() -> None:
    groups.restore()
    _as_migrated[:] = fingerprint(_FILLED_BY_MIGRATIONS)


def _with_rows(tables: Iterable[str]) -> list[str]:
    names = union(f"SELECT '{name}' FROM (SELECT FROM {name} LIMIT 1) found" for name in tables)  # noqa: S608
    return [name for (name,) in names]
