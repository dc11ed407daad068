"""Writes a relay's ledger down: a thread of its own, so that neither a round nor a settle waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

import psycopg

from circuits.sessions import Session, limit_statements, open_session
from outbox import conf, minutes
from outbox.relay import metrics
from outbox.relay.ledger import Ledger

logger = logging.getLogger("outbox.relay")

FLUSH_SECONDS = 6.0
STATEMENT_SECONDS = 2.0
CLOSE_SECONDS = STATEMENT_SECONDS + 1
SESSION_NAME = "outbox-relay minutes"
"""Like a relay's other sessions: its transactions enqueue nothing, so nobody waits for what they may commit."""


class Rollup:
    """Its session exists only while there is something to write. A failure stops nothing; what it holds up is kept."""

    def __init__(self, ledger: Ledger, *, every: float | None = None) -> None:
        self._ledger = ledger
        self._every = FLUSH_SECONDS if every is None else every
        self._stop = threading.Event()
        self._abandoned = False
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="outbox-minutes", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends the thread once everything is written, or cannot be."""
        self._stop.set()
        self._thread.join(CLOSE_SECONDS)

    def abandon(self) -> None:
        """Ends the thread. What is not written stays in the ledger."""
        self._abandoned = True
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        while not self._stop.wait(self._every):
            self._flush()
        if not self._abandoned:
            self._flush()

    def _flush(self) -> None:
        try:
            self.flush()
        except Exception:
            logger.exception("What happened in the last minutes could not be written down.")

    def flush(self) -> None:
        """Write what has come together, a minute at a time."""
        left = dict(self._ledger.take())
        if not left:
            return
        try:
            with open_session(conf.get().database, name=SESSION_NAME) as session:
                for minute in sorted(left):
                    _write(session, minute, left[minute])
                    del left[minute]
        except psycopg.Error as error:
            self._failed(error)
        else:
            self._failing = False
        finally:
            self._ledger.give_back(left)

    def _failed(self, error: psycopg.Error) -> None:
        metrics.SERIES_FLUSH_FAILURES.inc()
        if not self._failing:
            line = f"{type(error).__name__}: {' '.join(str(error).split())}"
            logger.warning("What happened in the last minutes could not be written down, charts wait for it: %s", line)
        self._failing = True


def _write(session: Session, minute: int, counts: Mapping[str, minutes.Counts]) -> None:
    with session.transaction():
        session.execute("SET LOCAL synchronous_commit = off")
        limit_statements(session, seconds=STATEMENT_SECONDS)
        minutes.add(session, counts, minute=minute)
