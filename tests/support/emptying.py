"""Tables are emptied after a test whose transactions were real.

Django would empty every table and make its permissions anew, which takes longer than most of these tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.management import call_command
from django.db import connection
from django.test import TransactionTestCase

from tests.support import groups

_FILLED_BY_MIGRATIONS = ("auth_group", "auth_group_permissions", "auth_permission", "django_content_type")

_as_migrated: list[tuple[Any, ...]] = []


def begin() -> None:
    """For a database that has just been migrated."""
    _as_migrated[:] = _contents()
    TransactionTestCase._fixture_teardown = lambda case: empty()  # type: ignore[attr-defined]


def empty() -> None:
    """As migrations leave it, also when a test has changed what they filled."""
    if found := _with_rows():
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(found)} CASCADE")
    if _contents() != _as_migrated:
        call_command("flush", verbosity=0, interactive=False)
        groups.restore()
        _as_migrated[:] = _contents()


def _with_rows() -> list[str]:
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return [
        name
        for (name,) in _all(
            f'SELECT \'"{name}"\' FROM (SELECT FROM "{name}" LIMIT 1) found'  # noqa: S608
            for name in tables
            if name not in _FILLED_BY_MIGRATIONS
        )
    ]


def _contents() -> list[tuple[Any, ...]]:
    return _all(
        f"SELECT '{name}', count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {name} t"  # noqa: S608
        for name in _FILLED_BY_MIGRATIONS
    )


def _all(statements: Iterable[str]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(statements))
        return list(cursor.fetchall())
