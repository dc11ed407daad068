"""This relay's part in counting what waits: a thread and a session that exist only while it is its turn."""

from __future__ import annotations

import logging
import threading

import psycopg

from circuits.sessions import open_session
from outbox import conf, counting
from outbox.relay.session import Connection

logger = logging.getLogger("outbox.relay")

LOOK_SECONDS = 1.0
"""How often a relay asks whether a count is due."""
CLOSE_SECONDS = counting.STATEMENT_SECONDS + 1


class BacklogCounter:
    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def look(self, session: Connection) -> None:
        """Begin a count if one is due and nobody else makes it. The session is only asked for the claim."""
        if self._thread is not None and self._thread.is_alive():
            return
        token = counting.claim(session)
        if token is not None:
            self._thread = threading.Thread(target=self._count, args=[token], name="outbox-backlog", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends a count under way after its next statement, and leaves it to others."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _count(self, token: int) -> None:
        try:
            with open_session(conf.get().database, name=counting.SESSION_NAME) as session:
                counting.count(session, token=token, rest=self._stop.wait)
        except psycopg.Error as error:
            if not self._failing:
                logger.warning("What waits could not be counted, the last count stands: %s", _line(error))
            self._failing = True
        else:
            self._failing = False


def _line(error: psycopg.Error) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
