"""The test database, seen from other processes."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from django.db import DEFAULT_DB_ALIAS, connections


def url(*, alias: str = DEFAULT_DB_ALIAS) -> str:
    """The `DATABASE_URL` under which another process reaches the database that this test uses."""
    params: dict[str, Any] = connections[alias].get_connection_params()
    account = ":".join(quote(params[name], safe="") for name in ("user", "password") if params.get(name))
    where = {name: params[name] for name in ("host", "port") if params.get(name)}
    return f"postgresql://{account}@/{quote(params['dbname'])}?{urlencode(where)}"
