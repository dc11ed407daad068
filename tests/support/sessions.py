"""Other sessions of the test database, each in a thread of its own, for tests of locks and races."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction

P = ParamSpec("P")
T = TypeVar("T")

_HANG_GUARD_SECONDS = 60


class Session:
    """Runs what it is given in its own thread, on that thread's own connection, one after the other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="session")
        self._transaction: transaction.Atomic | None = None

    def start(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin, for calls that will wait for somebody."""
        return self._thread.submit(function, *args, **kwargs)

    def do(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self.start(function, *args, **kwargs).result(_HANG_GUARD_SECONDS)

    def begin(self, *, isolation: str = "READ COMMITTED") -> None:
        self._transaction = transaction.atomic()
        self.do(self._transaction.__enter__)
        self.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")

    def commit(self) -> None:
        assert self._transaction is not None
        self.do(self._transaction.__exit__, None, None, None)

    def roll_back(self) -> None:
        assert self._transaction is not None
        self.do(transaction.set_rollback, True)
        self.commit()

    def execute(self, statement: str) -> None:
        self.do(_execute, statement)

    def close(self) -> None:
        self.do(connections.close_all)
        self._thread.shutdown()


@contextmanager
def sessions(count: int) -> Iterator[list[Session]]:
    opened = [Session() for _ in range(count)]
    try:
        yield opened
    finally:
        for session in opened:
            session.close()


def wait_until_somebody_waits_for_a_lock(*, alias: str = DEFAULT_DB_ALIAS) -> None:
    """Returns once a session of this database waits for another one."""
    deadline = time.monotonic() + _HANG_GUARD_SECONDS
    while not somebody_waits_for_a_lock(alias=alias):
        assert time.monotonic() < deadline, "nobody waits"


def somebody_waits_for_a_lock(*, alias: str = DEFAULT_DB_ALIAS) -> bool:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (waiting,) = cursor.fetchone() or (0,)
    return bool(waiting)


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
