"""Deletes events whose retention is over: a few at a time, oldest first, with a rest after each few.

Sent and discarded events go once they are older than their tenant's `retention_days`, or `OUTBOX_RETENTION_DAYS`, and
nothing has happened to them since; dead letters only with `OUTBOX_DEAD_LETTER_RETENTION_DAYS`; what is pending or
scheduled never does. With an event goes its dedupe key: enqueued again, it is a new event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from django.db import connections

from circuits.sessions import open_session
from outbox import conf, sql
from outbox.errors import OutboxError
from outbox.models import EventStatus
from outbox.operations.metrics import PRUNED
from outbox.operations.quick import quick

BATCH = 500
TENANTS = 1_000
REST = 3.0
"""Times as long as a batch took: at most a quarter of a database process is busy with pruning."""
FUTILE_BATCHES = 20
"""After so many without an event to delete a tenant is left until the next run: its old events were sent lately."""
LOCK = int.from_bytes(b"obxprune", "big")
"""The advisory lock of whoever prunes."""

_BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)


class AlreadyPruning(OutboxError):
    """Another process prunes this database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a run has done so far."""

    events: Mapping[str, int] = field(default_factory=dict)
    """Deleted, by status; in a dry run those that would be."""
    tenant_id: str | None = None
    """Whose turn it was last."""
    finished: bool = False
    """Whether everything that is over was looked at; else a limit ended the run."""

    @property
    def total(self) -> int:
        return sum(self.events.values())


def prune(
    *,
    limit: int | None = None,
    seconds: float | None = None,
    dry_run: bool = False,
    using: str | None = None,
    progress: Callable[[Pruned], object] = lambda _: None,
    rest: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Pruned:
    """Delete what is over, each batch in a transaction of its own; `progress` is called after each.

    `limit`: at most so many events.
    `seconds`: begin no batch after that time.
    `dry_run`: delete and lock nothing.
    Raises `AlreadyPruning` while another process does it.
    """
    alias = using or conf.get().database
    run = _Run(alias, limit=limit, until=None if seconds is None else clock() + seconds, dry_run=dry_run, clock=clock)
    with nullcontext() if dry_run else _alone(alias):
        for took in run.batches():
            progress(run.done)
            rest(REST * took)
    return run.done


@contextmanager
def _alone(alias: str) -> Iterator[None]:
    """By a lock of a transaction that lasts as long as the run and reads nothing, so that it holds no old rows back.

    A lock of the session would stay with a pooler's connection.
    """
    with (
        connections[alias].wrap_database_errors,
        open_session(alias, name="outbox prune") as session,
        session.transaction(),
    ):
        (ours,) = session.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK]).fetchone() or (False,)
        if not ours:
            raise AlreadyPruning("another process prunes this database at the moment; try again later")
        # Last: a statement with parameters keeps its snapshot until the next one.
        session.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


class _Run:
    def __init__(
        self, alias: str, *, limit: int | None, until: float | None, dry_run: bool, clock: Callable[[], float]
    ) -> None:
        self.done = Pruned()
        self._alias = alias
        self._left = limit
        self._until = until
        self._dry_run = dry_run
        self._clock = clock

    def batches(self) -> Iterator[float]:
        """How long each took, in seconds."""
        for status, days, by_policy in _statuses():
            for tenant_id, since in self._tenants(status, days, by_policy=by_policy):
                for took in self._tenant(status, tenant_id, since):
                    yield took
                    if self._is_enough():
                        return
        self.done = replace(self.done, finished=True)

    def _is_enough(self) -> bool:
        return self._left == 0 or (self._until is not None and self._clock() >= self._until)

    def _tenants(self, status: EventStatus, days: int | None, *, by_policy: bool) -> Iterator[tuple[str, datetime]]:
        after = ""
        while True:
            params = {"status": status.value, "days": days, "by_policy": by_policy, "after": after, "limit": TENANTS}
            found = self._query("prune_tenants", params)
            yield from ((tenant_id, since) for tenant_id, since, is_over in found if is_over)
            if len(found) < TENANTS:
                return
            after = found[-1][0]

    def _tenant(self, status: EventStatus, tenant_id: str, since: datetime) -> Iterator[float]:
        place: tuple[datetime, int] = (_BEFORE_ALL, 0)
        futile = 0
        while futile < FUTILE_BATCHES:
            began = self._clock()
            size = BATCH if self._left is None else min(BATCH, self._left)
            params = {"status": status.value, "tenant": tenant_id, "since": since, "limit": size}
            statement = "prune_preview" if self._dry_run else "prune_events"
            found = self._query(statement, {**params, "at": place[0], "id": place[1]})
            if not found:
                return
            looked_at, events, *last = found[0]
            place = (last[0], last[1])
            futile = 0 if events else futile + 1
            self._count(status, tenant_id, events)
            yield self._clock() - began
            if looked_at < size:
                return

    def _count(self, status: EventStatus, tenant_id: str, events: int) -> None:
        so_far = dict(self.done.events)
        if events:
            so_far[status.value] = so_far.get(status.value, 0) + events
        self.done = replace(self.done, events=so_far, tenant_id=tenant_id)
        if self._left is not None:
            self._left -= events
        if events and not self._dry_run:
            PRUNED.labels(status.value).inc(events)

    def _query(self, statement: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with quick(self._alias), connections[self._alias].cursor() as cursor:
            # A crash of the database brings events back, to be deleted again.
            cursor.execute("SET LOCAL synchronous_commit = off")
            cursor.execute(sql.load(statement), params)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found


def _statuses() -> Iterator[tuple[EventStatus, int | None, bool]]:
    """What may be deleted, after how many days unless a policy says otherwise, and whether one may."""
    settings = conf.get()
    yield EventStatus.SENT, settings.retention_days, True
    yield EventStatus.DISCARDED, settings.retention_days, True
    if settings.dead_letter_retention_days is not None:
        yield EventStatus.FAILED, settings.dead_letter_retention_days, False
