"""Database sessions beside Django's: what they do is neither part of a caller's transaction nor of its query count."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connections

Session = psycopg.Connection[tuple[Any, ...]]


def open_session(alias: str, *, name: str, connect_timeout: float | None = None, prepare: bool = False) -> Session:
    """A session in autocommit that shows itself under this name; the caller closes it. Seconds; None: as configured.

    Statements are prepared only if asked for: PgBouncer in transaction mode may give the next one to another server
    process.
    """
    params = connections[alias].get_connection_params()
    for key in ("cursor_factory", "context", "prepare_threshold", "pool"):
        params.pop(key, None)
    params["application_name"] = name
    if connect_timeout is not None:
        params["connect_timeout"] = connect_timeout
    return psycopg.connect(autocommit=True, prepare_threshold=5 if prepare else None, **params)


def limit_statements(session: Session, *, seconds: float) -> None:
    """Inside a transaction: none of its statements takes longer."""
    session.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds * 1_000:.0f}"])
