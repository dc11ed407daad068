"""Whether a tenant may enqueue: not while as much of it was counted as waiting as its policy allows.

What is known is kept in memory and read anew by a thread with a session of its own, about once a second while events
are enqueued. So a call asks a dictionary, and nothing that goes wrong here touches the caller's transaction: when it
cannot be known, everything is admitted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import psycopg

from circuits.sessions import Session, limit_statements, open_session
from outbox import counting, sql
from outbox.enqueueing.metrics import REFUSED
from outbox.errors import BacklogFull

logger = logging.getLogger(__name__)

LIMITED_SECONDS = 1.0
"""Rhythm of reading while any tenant has a limit."""
UNLIMITED_SECONDS = 5.0
"""The same while none has."""
GRACE_SECONDS = 2.0
"""How long what is known outlives its rhythm, for a thread that is late."""
WAIT_SECONDS = 0.1
"""Longest wait of a call that comes after a pause, for what is known to be read again."""
STATEMENT_SECONDS = 1.0
SESSION_NAME = "outbox-relay admission"
"""Like a relay's: it enqueues nothing, so nobody has to wait for what it may commit."""
_RARELY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """A tenant at its limit."""

    pending: int
    limit: int
    counted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What one look has found."""

    limited: frozenset[str] = frozenset()
    full: Mapping[str, Full]
    valid_until: float
    """By the monotonic clock."""


class Limit(NamedTuple):
    """A row of backlog_limits.sql."""

    tenant_id: str
    limit: int
    pending: int
    counted_at: datetime
    usable: bool
    overdue: bool


_NOBODY: Mapping[str, Full] = {}


def admit(*, alias: str, tenant_id: str) -> None:
    """Raises `BacklogFull`."""
    refuse(tenant_id, full(alias=alias, tenant_id=tenant_id))


def refuse(tenant_id: str, among: Mapping[str, Full]) -> None:
    """Raises `BacklogFull` if the tenant is one of these."""
    found = among.get(tenant_id)
    if found is not None:
        REFUSED.inc()
        raise BacklogFull(tenant_id, found.pending, found.limit, found.counted_at)


def full(*, alias: str, tenant_id: str | None = None) -> Mapping[str, Full]:
    """Tenants that may not enqueue, as far as is known.

    Waits for a moment if nothing is known, or nothing of late, and the tenant (None: any) has a limit.
    """
    gate = _gates.get(alias) or _gates.setdefault(alias, _Gate(alias))
    gate.used = True
    known = gate.known
    if known is not None and time.monotonic() <= known.valid_until:
        return known.full
    return gate.ask(tenant_id)


class _Gate:
    """What this process knows of one database."""

    def __init__(self, alias: str) -> None:
        self.used = False
        """Whether anybody has asked in the last second."""
        self.known: Known | None = None
        self._alias = alias
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._may_wait = True
        self._failing = False

    def ask(self, tenant_id: str | None) -> Mapping[str, Full]:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"outbox-admission-{self._alias}", daemon=True)
                self._thread.start()
            if self._may_wait and self._matters(tenant_id):
                self._may_wait = self._changed.wait_for(self._is_fresh, WAIT_SECONDS)
            return self.known.full if self.known is not None and self._is_fresh() else _NOBODY

    def _matters(self, tenant_id: str | None) -> bool:
        if self.known is None:
            return True
        return bool(self.known.limited) if tenant_id is None else tenant_id in self.known.limited

    def _is_fresh(self) -> bool:
        return self.known is not None and time.monotonic() <= self.known.valid_until

    def _run(self) -> None:
        try:
            with open_session(self._alias, name=SESSION_NAME) as session:
                self._keep_reading(session)
        except Exception as error:
            self._failed(error)
        finally:
            with self._changed:
                self._thread = None

    def _keep_reading(self, session: Session) -> None:
        while True:
            began = time.monotonic()
            limits = read(session, alias=self._alias)
            seconds = LIMITED_SECONDS if limits else UNLIMITED_SECONDS
            now = time.monotonic()
            seconds = max(seconds, _RARELY * (now - began))
            self._learn(known(limits, valid_until=now + seconds + GRACE_SECONDS))
            while time.monotonic() < now + seconds:
                self.used = False
                time.sleep(min(1.0, seconds))
                if not self.used:
                    return

    def _learn(self, known: Known) -> None:
        with self._changed:
            self.known, self._may_wait, self._failing = known, True, False
            self._changed.notify_all()

    def _failed(self, error: Exception) -> None:
        """Nobody is refused, and nobody waits, until limits can be read again; the log says so once."""
        if not self._failing:
            logger.warning(
                "Backlog limits cannot be read now, every event is admitted: %s",
                " ".join(str(error).split()),
                exc_info=None if isinstance(error, psycopg.Error) else error,
            )
        with self._changed:
            self._failing, self._may_wait = True, False
            self.known = Known(full=_NOBODY, valid_until=time.monotonic() + UNLIMITED_SECONDS)
            self._changed.notify_all()


def read(session: Session, *, alias: str) -> list[Limit]:
    """All limits. What waits is counted first if nobody else does it, as without relays."""
    limits = _limits(session)
    if limits and limits[0].overdue:
        try:
            counting.count_if_due(alias=alias)
        except psycopg.Error:
            logger.debug("What waits could not be counted.", exc_info=True)
        limits = _limits(session)
    return limits


def known(limits: list[Limit], *, valid_until: float) -> Known:
    """The verdict on these."""
    full = {
        each.tenant_id: Full(pending=each.pending, limit=each.limit, counted_at=each.counted_at)
        for each in limits
        if each.usable and each.pending >= each.limit
    }
    return Known(limited=frozenset(each.tenant_id for each in limits), full=full, valid_until=valid_until)


def _limits(session: Session) -> list[Limit]:
    with session.transaction():
        limit_statements(session, seconds=STATEMENT_SECONDS)
        return [Limit(*row) for row in session.execute(sql.load("backlog_limits")).fetchall()]


_gates: dict[str, _Gate] = {}
# Threads do not survive a fork, and a lock that one of them held would never be released.
os.register_at_fork(after_in_child=_gates.clear)
