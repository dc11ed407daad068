"""The test database: where other processes find it, and what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode

from django.db import DEFAULT_DB_ALIAS, connection, connections


def url(*, alias: str = DEFAULT_DB_ALIAS) -> str:
    """The `DATABASE_URL` under which another process reaches the database that this test uses."""
    params: dict[str, Any] = connections[alias].get_connection_params()
    account = ":".join(quote(params[name], safe="") for name in ("user", "password") if params.get(name))
    where = {name: params[name] for name in ("host", "port") if params.get(name)}
    return f"postgresql://{account}@/{quote(params['dbname'])}?{urlencode(where)}"


def fingerprint(tables: Iterable[str]) -> list[tuple[Any, ...]]:
    """Another one as soon as any row of these tables is another."""
    return union(
        f"SELECT '{name}', count(*), sum(hashtextextended(t::text, 0)::numeric) FROM \"{name}\" t"  # noqa: S608
        for name in sorted(tables)
    )


def union(statements: Iterable[str]) -> list[tuple[Any, ...]]:
    """The rows of all of them, in their order."""
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(statements))
        return list(cursor.fetchall())
