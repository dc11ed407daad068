"""A relay's own database sessions and its identity, which is tied to one of them."""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.types.numeric import Int8BinaryLoader

from circuits.sessions import open_session
from outbox import conf

PG_EPOCH_UNIX_US = 946_684_800_000_000
"""2000-01-01 UTC, PostgreSQL's own epoch, in Unix microseconds."""

LOCK_SECONDS = 1.0
"""How long a lock of another session is waited for where all tenants would wait along."""

CANCELS = 10
CANCEL_SECONDS = 1.0
"""How long a thread may take to end after each."""

Connection = psycopg.Connection[tuple[Any, ...]]

# The hot statements must go by index and in the order written, whatever the statistics say: a table that was empty when
# it was last analysed, or when a statement was first planned, must not be scanned now that it is large. So every
# execution is planned anew, which costs 0.2 ms. A settle that a crash of the database undoes is a duplicate, never a
# loss (see fence.sql).
_SESSION = """
SET synchronous_commit = off;
SET jit = off; SET plan_cache_mode = force_custom_plan; SET max_parallel_workers_per_gather = 0;
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SET statement_timeout = 0;
SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off
"""


def connect(name: str, *, lock_seconds: float = 0) -> Connection:
    """A session outside Django's, in autocommit, timestamps as microseconds since 2000-01-01 UTC.

    After `lock_seconds` of waiting for a lock, if given, statements raise psycopg's `LockNotAvailable`.
    """
    settings = conf.get()
    connection = open_session(settings.database, name=f"outbox-relay {name}")
    connection.prepare_threshold = 0 if settings.session_takeover else None
    connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
    connection.execute(_SESSION, prepare=False)
    # A relay that is frozen inside a transaction keeps its lanes and events locked: no longer than its lease lasts.
    _set(connection, "idle_in_transaction_session_timeout", seconds=settings.lease_seconds)
    _set(connection, "lock_timeout", seconds=lock_seconds)
    return connection


def _set(connection: Connection, name: str, *, seconds: float) -> None:
    connection.execute("SELECT set_config(%s, %s, false)", [name, f"{seconds * 1_000:.0f}"], prepare=False)


def query(connection: Connection, statement: Any, params: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """All rows, transferred in binary form."""
    cursor = connection.cursor(binary=True)
    cursor.execute(statement, params)
    return cursor.fetchall() if cursor.description else []


def lock_key(relay_id: uuid.UUID) -> int:
    """The advisory lock that says this relay is alive."""
    return int.from_bytes(relay_id.bytes[:8], "big", signed=True)


def hold_identity(connection: Connection, relay_id: uuid.UUID) -> None:
    if conf.get().session_takeover:
        query(connection, "SELECT pg_advisory_lock(%(key)s::bigint)", {"key": lock_key(relay_id)})


def cut_off(connection: Connection, thread: threading.Thread) -> None:
    """Ends a thread that may be inside a statement on its session. A session in use is never closed under it."""
    for _ in range(CANCELS):
        # Once is not enough: a server that is between two steps of a statement ignores it.
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=1)
        if thread.ident is not None:
            thread.join(timeout=CANCEL_SECONDS)
        if not thread.is_alive():
            connection.close()
            return


def array(values: list[Any]) -> str:
    """An array of numbers or NULLs in PostgreSQL's text form: much cheaper to bind than one value at a time."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def numbers(values: list[int]) -> str:
    """The same for numbers alone."""
    return "{" + str(values)[1:-1] + "}"
