"""The thread that keeps a process's circuits fresh."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Protocol

import psycopg
from django.db import Error as DjangoDatabaseError

from circuits import conf
from circuits.names import Key
from circuits.session import Connection, connect
from circuits.store import Reading, read_by

logger = logging.getLogger(__name__)

CHANNEL = "circuits"

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0


class Watched(Protocol):
    """Whose circuits they are."""

    def in_use(self) -> list[Key] | None:
        """What to read now; None to end."""

    def hear(self, keys: Iterable[Key]) -> list[Key]:
        """Circuits that have changed; returns those that somebody here cares about."""

    def note(self, readings: Mapping[Key, Reading], began: float) -> None:
        """What has been read, asked for at `began` (monotonic seconds)."""


class Watcher:
    """Reads what is in use on a rhythm, and at once what a NOTIFY names. Outlives the database's outages."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._stopped = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._work, name="circuits-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when it has ended."""
        self._stopped.set()
        with suppress(OSError):
            os.write(self._wake_write, b".")
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    def _work(self) -> None:
        pause = 0.0
        try:
            while not self._stopped.is_set():
                try:
                    if not self._watch():
                        return
                    pause = 0.0
                except (psycopg.Error, DjangoDatabaseError, OSError) as error:
                    # The calls themselves say that the database is out; this would be the same news.
                    logger.debug("The watch over circuits is interrupted: %s", error)
                    self._disconnect()
                    pause = min(max(2 * pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
                    self._stopped.wait(pause)
        except Exception:
            logger.exception("The watch over circuits has ended; the next call to a circuit starts another one.")
        finally:
            self._end()

    def _watch(self) -> bool:
        """Until stopped or the connection breaks. False when nothing is in use any more."""
        connection = self._connect()
        due = time.monotonic()
        while not self._stopped.is_set():
            heard = _heard(connection)
            now = time.monotonic()
            if now >= due:
                keys = self._watched.in_use()
                if keys is None:
                    return False
                due = now + conf.get().cache_ttl
            else:
                keys = self._watched.hear(heard)
            if keys:
                self._watched.note(read_by(connection, keys), now)
            else:
                select.select([connection.fileno(), self._wake_read], [], [], max(0.0, due - time.monotonic()))
        return True

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = connect("watch")
            if conf.get().listen:
                self._connection.execute(f"LISTEN {CHANNEL}")
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _end(self) -> None:
        self._disconnect()
        for pipe in (self._wake_read, self._wake_write):
            os.close(pipe)


def _heard(connection: Connection) -> list[Key]:
    """What notices name. Anyone may send them, so one that names nothing is no error."""
    heard = []
    for notice in connection.notifies(timeout=0):
        tenant_id, _, name = notice.payload.partition(" ")
        heard.append((tenant_id, name))
    return heard
