"""Relays one after another: what ends one of them, such as a restart of the database, the next one outlives."""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from outbox import conf
from outbox.errors import OutboxError
from outbox.relay import backoff, metrics
from outbox.relay.ledger import Ledger
from outbox.relay.loop import Relay

logger = logging.getLogger("outbox.relay")

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
SAY_AGAIN_SECONDS = 30.0
"""How often the log repeats an error that has not changed."""

COLLECT_AFTER = 20_000
"""Objects made, less those freed, before Python looks for cycles among them."""

# What an outage or a missing migration raises: their message says it all.
_EXPLAINED = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.UndefinedTable, OutboxError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the relays of one `run` have done."""

    published: int
    failed_attempts: int
    dead_letters: int
    seconds: float

    @property
    def rate(self) -> float:
        """Events published per second."""
        return self.published / self.seconds if self.seconds else 0.0


class Supervisor:
    """Runs a relay in the calling thread and, when it fails, another one under a new identity after a pause.

    Pauses grow from 0.1 s to 2 s with jitter, and start anew once a relay has lasted longer than that.
    """

    def __init__(
        self,
        *,
        make: Callable[[], Relay] | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        pause: Callable[[float], Any] | None = None,
    ) -> None:
        self.error: str | None = None
        """What ended the last relay; None while there is one, and after one that ended as asked."""
        self.stopped = threading.Event()
        ledger = Ledger()
        self._make = make or (lambda: Relay(ledger=ledger))
        self._clock = clock
        self._draw = draw
        self._pause = pause or self.stopped.wait
        self._relay: Relay | None = None
        self._began = self._ended = clock()
        self._past = (0, 0, 0)
        self._told: str | None = None
        self._told_at = 0.0

    def run(self, *, until_empty: bool = False) -> Summary:
        """Publishes until `stop`, or with `until_empty` until nothing is left that may be published.

        Errors are logged and outlived, also when there is no database or broker yet. Only what is no `Exception`, such
        as KeyboardInterrupt, comes out, and then too nothing more is delivered.
        """
        spare_the_collector()
        self._began = self._clock()
        failures = 0
        while not self.stopped.is_set():
            began = self._clock()
            if self._run_one(until_empty=until_empty):
                break
            failures = 1 if self._clock() - began > LONGEST_PAUSE_SECONDS else failures + 1
            self._pause(backoff.delay(failures, base=FIRST_PAUSE_SECONDS, cap=LONGEST_PAUSE_SECONDS, random=self._draw))
        self._ended = self._clock()
        return self.summary()

    def stop(self) -> None:
        """Ends `run` once what is under way is settled. Safe from other threads, but not from signal handlers that
        interrupt the thread which runs: it may hold the lock that this takes.
        """
        self.stopped.set()
        relay = self._relay
        if relay is not None:
            relay.stop()

    def summary(self) -> Summary:
        """The counts so far. Safe from other threads; `seconds` counts to the end of `run`."""
        published, failed_attempts, dead_letters = self._counts()
        return Summary(
            published=published,
            failed_attempts=failed_attempts,
            dead_letters=dead_letters,
            seconds=max(self._ended, self._began) - self._began,
        )

    def _run_one(self, *, until_empty: bool) -> bool:
        """Whether the relay ended as asked."""
        relay = None
        try:
            self._relay = relay = self._make()
            self.error = None
            logger.info("Relay %s publishes.", relay.id)
            if self.stopped.is_set():
                relay.stop()
            relay.run(until_empty=until_empty)
            relay.close()
            logger.info("Relay %s has drained.", relay.id)
        except BaseException as error:
            # Before anything else: the lanes may be another relay's by now.
            _abandon(relay)
            if not isinstance(error, Exception):
                raise
            self._report(error)
            return False
        finally:
            self._past, self._relay = self._counts(), None
            metrics.no_relay()
        return True

    def _report(self, error: Exception) -> None:
        metrics.RELAY_RESTARTS.inc()
        hint = "; run `manage.py migrate`" if isinstance(error, psycopg.errors.UndefinedTable) else ""
        line = f"{type(error).__name__}: {' '.join(str(error).split())}{hint}"
        # Not the exception itself, whose traceback would keep the relay's sessions.
        self.error = line
        now = self._clock()
        if line != self._told or now - self._told_at >= SAY_AGAIN_SECONDS:
            self._told, self._told_at = line, now
            logger.warning("A relay failed. %s", line, exc_info=None if isinstance(error, _EXPLAINED) else error)

    def _counts(self) -> tuple[int, int, int]:
        # In this order, so that a relay that ends meanwhile is not counted twice.
        past, relay = self._past, self._relay
        if relay is None:
            return past
        now = relay.steering.tally
        return past[0] + now.published, past[1] + now.failed_attempts, past[2] + now.dead_letters


class RelayThread(threading.Thread):
    """A supervisor in a thread of its own, which never keeps its process alive."""

    def __init__(self, supervisor: Supervisor, *, until_empty: bool = False) -> None:
        super().__init__(name="outbox-relay", daemon=True)
        self.supervisor = supervisor
        self._until_empty = until_empty

    def run(self) -> None:
        self.supervisor.run(until_empty=self._until_empty)

    def stop_and_join(self) -> bool:
        """Drains. False if that hangs, as behind a locked table: then what is under way may be delivered twice."""
        self.supervisor.stop()
        self.join(drain_seconds())
        return not self.is_alive()


def drain_seconds() -> float:
    """How long a drain may take: every delivery report has a deadline, and the database gets ten seconds."""
    return conf.get().delivery_timeout_seconds + 10


def spare_the_collector() -> None:
    """Events are many and make no cycles: looking for some was a tenth of a relay's time, and full searches, which go
    through all of Django, stopped publishing for 20 to 35 ms. What is imported by now stays for good.
    """
    gc.collect()
    gc.freeze()
    first, *others = gc.get_threshold()
    gc.set_threshold(max(first, COLLECT_AFTER), *others)


def _abandon(relay: Relay | None) -> None:
    try:
        if relay is not None:
            relay.abandon()
    except Exception:
        logger.exception("A failed relay could not be put away.")
