"""Sends the wake-up after the commit: at once on the caller's connection, what comes soon after from a thread.

Whatever goes wrong here is logged once and costs the caller nothing: the events are committed, and relays look by
themselves.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from itertools import chain

import psycopg
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from outbox import conf
from outbox.wakeup import CHANNEL, Coalescer

logger = logging.getLogger(__name__)

# How long the thread keeps its connection. PostgreSQL gives others 5 s to leave a database that a test run drops.
_LINGER_SECONDS = 1.0


def after_commit(connection: BaseDatabaseWrapper, tenants: Iterable[str]) -> None:
    """Wake the relays for these tenants when the transaction commits: once, however often this is called."""
    if not conf.get().notify:
        return
    if not connection.in_atomic_block and not connection.get_autocommit():
        return  # Commits by hand have no hook: left to the relays' own looks.
    committed = _registered(connection)
    if committed is not None:
        committed.tenants.update(tenants)
        return
    committed = _Committed(connection, set(tenants))
    transaction.on_commit(committed.tell, using=connection.alias, robust=True)


class _Committed:
    """The tenants of one transaction."""

    def __init__(self, connection: BaseDatabaseWrapper, tenants: set[str]) -> None:
        self.tenants = tenants
        self._connection = connection

    def tell(self) -> None:
        # Test tools run hooks inside of a transaction, where nothing has been committed.
        if not self._connection.in_atomic_block:
            _waker(self._connection.alias).tell(self._connection, self.tenants)


def _registered(connection: BaseDatabaseWrapper) -> _Committed | None:
    """This transaction's hook, unless a rollback to a savepoint has removed it. It is the last or among the first."""
    hooks = connection.run_on_commit
    for entry in chain(hooks[-1:], hooks):
        owner = getattr(entry[1], "__self__", None)
        if isinstance(owner, _Committed):
            return owner
    return None


class _Waker:
    """The wake-ups of this process for one database."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._changed = threading.Condition()
        self._coalescer = Coalescer(conf.get().notify_interval_seconds)
        self._thread: threading.Thread | None = None
        self._failing = False

    def tell(self, connection: BaseDatabaseWrapper, tenants: Iterable[str]) -> None:
        with self._changed:
            self._coalescer.interval = conf.get().notify_interval_seconds
            payload = self._coalescer.offer(tenants, time.monotonic())
            if payload is None:
                self._leave_to_thread()
        if payload is not None:
            self._send(connection, payload)

    def _leave_to_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"outbox-wakeup-{self._alias}", daemon=True)
            self._thread.start()
        else:
            self._changed.notify()

    def _run(self) -> None:
        connection = connections[self._alias]
        try:
            while (payload := self._next()) is not None:
                if not self._send(connection, payload):
                    connection.close()
        except Exception:
            logger.exception("The thread that wakes relays has ended, the next commit starts another one.")
            with self._changed:
                self._thread = None
        finally:
            connection.close()

    def _next(self) -> str | None:
        """Waits for the next payload; None when there was none for so long that the thread had better end."""
        idle_since = time.monotonic()
        with self._changed:
            while (payload := self._coalescer.take(now := time.monotonic())) is None:
                wait = self._coalescer.wait(now)
                if wait is None:
                    wait = idle_since + _LINGER_SECONDS - now
                    if wait <= 0:
                        self._thread = None
                        return None
                self._changed.wait(wait)
        return payload

    def _send(self, connection: BaseDatabaseWrapper, payload: str) -> bool:
        # Not through Django's cursor: the application's query counts and logs are about its own statements.
        try:
            connection.ensure_connection()
            connection.connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
        except (psycopg.Error, DatabaseError):
            if not self._failing:
                logger.warning("Relays cannot be woken now, they look by themselves.", exc_info=True)
            self._failing = True
        else:
            self._failing = False
        return not self._failing


_wakers: dict[str, _Waker] = {}
# Threads do not survive a fork, and a lock that one of them held would never be released.
os.register_at_fork(after_in_child=_wakers.clear)


def _waker(alias: str) -> _Waker:
    return _wakers.get(alias) or _wakers.setdefault(alias, _Waker(alias))
