"""This process's own session with the database: neither the caller's locks nor its rollback reach it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg

from circuits import conf, sessions
from circuits.errors import StoreUnavailable

logger = logging.getLogger(__name__)

Connection = sessions.Session
Rows = list[tuple[Any, ...]]

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
# A row that somebody holds is no outage; it is said now and then.
_SAY_AGAIN_SECONDS = 60.0


def connect(name: str) -> Connection:
    """A session outside Django's, in autocommit, that waits for nobody for long."""
    settings = conf.get()
    # Behind a pooler in transaction mode a session is somebody else's a moment later.
    connection = sessions.open_session(
        settings.database,
        name=f"circuits {name}",
        connect_timeout=settings.connect_timeout,
        prepare=settings.listen,
    )
    if settings.listen:
        _limit(connection, local=False)
    return connection


def run(connection: Connection, statement: LiteralString, params: Mapping[str, Any]) -> Rows:
    """All rows, within the limits of `connect`."""
    if conf.get().listen:
        return connection.execute(statement, params).fetchall()
    with connection.transaction():
        _limit(connection, local=True)
        return connection.execute(statement, params).fetchall()


def _limit(connection: Connection, *, local: bool) -> None:
    settings = conf.get()
    for name in ("lock_timeout", "statement_timeout"):
        milliseconds = max(1, round(getattr(settings, name) * 1_000))
        connection.execute("SELECT set_config(%s, %s, %s)", (name, str(milliseconds), local))


class Session:
    """One connection for all threads, made when it is needed.

    While the database is out, callers are told so at once, and it is tried again after a pause that doubles up to half
    a minute: an outage of the database must not slow down every call. One warning is logged for each outage.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._out_until = 0.0
        self._pause = 0.0
        self._said_busy_at = float("-inf")

    def query(self, statement: LiteralString, params: Mapping[str, Any]) -> Rows:
        """All rows. Raises `StoreUnavailable` if there is no answer in time."""
        if time.monotonic() < self._out_until:
            raise StoreUnavailable("The database is out; it will be tried again soon.")
        if not self._lock.acquire(timeout=conf.get().statement_timeout):
            raise StoreUnavailable("The database is slow: statements of other threads are waiting.")
        try:
            return self._try(statement, params)
        except psycopg.errors.LockNotAvailable as error:
            self._say_busy()
            raise StoreUnavailable("Somebody holds the circuit's row.") from error
        except psycopg.Error as error:
            self._note_outage(error)
            raise StoreUnavailable("The database does not answer.") from error
        finally:
            self._lock.release()

    def end_pause(self) -> None:
        """Somebody has reached the database: no need to wait before it is tried again."""
        self._out_until = 0.0

    def close(self) -> None:
        """Until the next query, which tries anew."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._out_until = self._pause = 0.0

    def abandon(self) -> object:
        """After a fork: the connection is the parent's, and must be neither used nor closed. Returns it, to be kept."""
        inherited, self._connection = self._connection, None
        self._lock = threading.Lock()
        self._out_until = self._pause = 0.0
        return inherited

    def _try(self, statement: LiteralString, params: Mapping[str, Any]) -> Rows:
        connection = self._connection
        if connection is not None and not connection.closed:
            try:
                return self._done(run(connection, statement, params))
            except psycopg.OperationalError:
                # An old connection may have died while it was idle. Statements are guarded, so twice is safe.
                if not connection.broken:
                    raise
        self._connection = connect("outcomes")
        return self._done(run(self._connection, statement, params))

    def _done(self, rows: Rows) -> Rows:
        if self._pause:
            self._pause = self._out_until = 0.0
            logger.info("The database answers again; circuits count.")
        return rows

    def _note_outage(self, error: psycopg.Error) -> None:
        if not self._pause:
            logger.warning("Circuits cannot use the database, so calls go on unguarded: %s", _in_one_line(error))
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        self._out_until = time.monotonic() + self._pause
        if self._connection is not None and self._connection.closed:
            self._connection = None

    def _say_busy(self) -> None:
        now = time.monotonic()
        if now - self._said_busy_at >= _SAY_AGAIN_SECONDS:
            self._said_busy_at = now
            logger.warning("An outcome is lost, since somebody holds the circuit's row for longer than we wait.")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
