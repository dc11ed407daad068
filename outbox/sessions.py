"""Database sessions beside Django's: what they do is neither part of a caller's transaction nor of its query count."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connections

Session = psycopg.Connection[tuple[Any, ...]]


def open_session(alias: str, *, name: str) -> Session:
    """A session in autocommit that shows itself under this name. The caller closes it."""
    params = connections[alias].get_connection_params()
    for key in ("cursor_factory", "context", "prepare_threshold", "pool"):
        params.pop(key, None)
    params["application_name"] = name
    # PgBouncer in transaction mode may give the next statement to another server process.
    return psycopg.connect(autocommit=True, prepare_threshold=None, **params)
