"""Changing many events: in batches, each a transaction of its own with its record of what was done.

Batches go by tenant and age, so that a key's events are changed in their order. What was done is done: a bulk that was
interrupted is run again, or goes on from where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db import connections

from outbox import conf, sql, wakeup
from outbox.models import EventStatus
from outbox.operations import audit, moves
from outbox.operations.audit import Operator
from outbox.operations.filters import EventRow, Filter
from outbox.operations.listing import Page, last_id, page
from outbox.operations.quick import quick

BATCH = 500
"""Events of one transaction. Their lanes are locked meanwhile, so that relays wait for it."""
MOST_PREVIEWED = 10_000
STEERING_CHANNEL = "outbox_policy"
"""Relays that hear from it read the rows of their lanes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One kind of change to events."""

    verb: str
    done: str
    """What a changed event is called in counts."""
    statement: str
    """Name of the statement that changes those of `ids` that have one of `statuses`, and returns ids and statuses."""
    becomes: EventStatus
    statuses: tuple[EventStatus, ...]
    """Which events it can change."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    only_retries: bool = False
    """Of the scheduled ones those that have failed before; the delayed ones keep their time."""

    def can(self, row: EventRow) -> bool:
        return row.status in self.statuses and (not self.only_retries or row.attempts > 0)

    def left_alone(self, rows: Iterable[EventRow]) -> Counter[str]:
        """How many of these it cannot change, by status."""
        wrong = (row for row in rows if not self.can(row))
        return Counter("delayed" if row.status in self.statuses else row.status.value for row in wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one transaction did."""

    changed: int
    tenants: Mapping[str, int]
    """Events that it was about, by tenant."""
    skipped: Mapping[str, int]
    looked_at: int
    next: str | None


class Ledger(Protocol):
    """Somebody who keeps books on batches, in the transaction of each."""

    def open(self, tenants: Mapping[str, int]) -> None:
        """Before anything is locked; so many events of each tenant. May raise, and the batch is given up."""

    def close(self, batch: Batch) -> None:
        """After the change. What it writes is committed with the batch, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a bulk has done so far."""

    changed: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Events that were left alone, by their status, or `changing` for those that somebody else had locked."""
    looked_at: int = 0
    next: str | None = None
    """Where to go on; None when there is nothing left."""
    up_to_id: int | None = None
    """The newest event that it touches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a bulk would change."""

    events: int
    tenants: int
    statuses: Mapping[str, int]
    skipped: Mapping[str, int]
    """Events that were named and would be left alone, by status."""
    more: bool
    """Whether these are only the first ones."""


def run(
    change: Change,
    given: Filter,
    *,
    by: Operator,
    reason: str,
    limit: int | None = None,
    after: str | None = None,
    using: str | None = None,
    progress: Callable[[Progress], object] = lambda _: None,
) -> Progress:
    """Change what matches, oldest first within a tenant. `progress` is called after each batch.

    Events that are enqueued meanwhile are not touched. Raises `InvalidFilter`, and `NoReason`.
    """
    alias, reason = using or conf.get().database, audit.checked_reason(reason)
    asked = settled(change, given, using=alias)
    so_far, left = Progress(next=after, up_to_id=asked.up_to_id), limit
    while left is None or left > 0:
        size = BATCH if left is None else min(BATCH, left)
        batch = step(change, asked, by=by, reason=reason, size=size, after=so_far.next, using=alias)
        left = None if left is None else left - batch.changed - sum(batch.skipped.values())
        so_far = Progress(
            changed=so_far.changed + batch.changed,
            skipped=dict(Counter(so_far.skipped) + Counter(batch.skipped)),
            looked_at=so_far.looked_at + batch.looked_at,
            next=batch.next,
            up_to_id=asked.up_to_id,
        )
        progress(so_far)
        if batch.next is None:
            break
    return so_far


def step(
    change: Change,
    asked: Filter,
    *,
    by: Operator,
    reason: str,
    size: int = BATCH,
    after: str | None = None,
    job: int | None = None,
    ledger: Ledger | None = None,
    using: str,
) -> Batch:
    """One batch of at most `size` events, with its record, in one transaction. `asked` comes from `settled`."""
    found = page(asked, limit=size, after=after, using=using)
    rights = [row for row in found.rows if change.can(row)]
    record = {**asked.as_json(), **({"after": after} if after else {}), **({"job": job} if job else {})}
    if not rights and ledger is None:
        return _batch(change, found, 0)
    with quick(using):
        if ledger is not None:
            ledger.open(Counter(row.tenant_id for row in rights))
        changed = _apply(change, rights, using, by=by, reason=reason, asked=record) if rights else 0
        batch = _batch(change, found, changed)
        if ledger is not None:
            ledger.close(batch)
    return batch


def _batch(change: Change, found: Page, changed: int) -> Batch:
    tenants = Counter(row.tenant_id for row in found.rows if change.can(row))
    skipped = change.left_alone(found.rows) + Counter(changing=tenants.total() - changed)
    return Batch(
        changed=changed, tenants=dict(tenants), skipped=dict(skipped), looked_at=found.looked_at, next=found.next
    )


def preview(
    change: Change, given: Filter, *, limit: int | None = None, after: str | None = None, using: str | None = None
) -> Preview:
    """What `run` would do; counts no further than `MOST_PREVIEWED`."""
    alias = using or conf.get().database
    most = min(limit or MOST_PREVIEWED, MOST_PREVIEWED)
    asked = settled(change, given, using=alias)
    found = page(asked, limit=most, after=after, most=10 * MOST_PREVIEWED, using=alias)
    rights = [row for row in found.rows if change.can(row)]
    return Preview(
        events=len(rights),
        tenants=len({row.tenant_id for row in rights}),
        statuses=dict(Counter(row.status.value for row in rights)),
        skipped=dict(change.left_alone(found.rows)),
        more=found.next is not None and len(found.rows) != limit,
    )


def settled(change: Change, given: Filter, *, using: str) -> Filter:
    """What is meant for good: nothing that is enqueued from now on.

    Events that are named are looked at whatever their status, so that it can be said why some are left alone.
    """
    if given.is_named:
        return given
    statuses = tuple(status for status in given.possible if status in change.statuses)
    up_to_id = last_id(using=using) if given.up_to_id is None else given.up_to_id
    return given.narrowed(statuses=statuses, up_to_id=up_to_id)


def _apply(
    change: Change, rows: Collection[EventRow], alias: str, *, by: Operator, reason: str, asked: Mapping[str, Any]
) -> int:
    tenants = sorted({row.tenant_id for row in rows})
    _lock_lanes(tenants, alias)
    changed = _execute(change, [row.event_id for row in rows], alias)
    if changed:
        _wake(tenants, alias)
        before: dict[str, list[int]] = {}
        for event_id, status in changed:
            before.setdefault(status, []).append(event_id)
        counts = {change.done: len(changed), "skipped": len(rows) - len(changed)}
        audit.record(
            by=by,
            verb=change.verb,
            using=alias,
            reason=reason,
            tenants=tenants,
            filter=asked,
            counts=counts,
            before=before,
            after={"status": change.becomes.value},
        )
        tenant_of = {row.event_id: row.tenant_id for row in rows}
        moves.record(((tenant_of[each], status) for each, status in changed), to=change.becomes, using=alias)
    return len(changed)


def _lock_lanes(tenants: list[str], alias: str) -> None:
    with connections[alias].cursor() as cursor:
        # A lane without a row gets one, or whoever claims it now would not wait for us: see promote.sql.
        cursor.execute(
            "INSERT INTO outbox_lanes (tenant_id) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", [tenants]
        )
        cursor.execute(sql.load("lock_lanes"), {"tenants": tenants})


def _execute(change: Change, ids: list[int], alias: str) -> list[tuple[int, str]]:
    statuses = [status.value for status in change.statuses]
    with connections[alias].cursor() as cursor:
        cursor.execute(sql.load(change.statement), {"ids": ids, "statuses": statuses, **change.parameters})
        return [(event_id, status) for event_id, status in cursor.fetchall()]


def _wake(tenants: list[str], alias: str) -> None:
    """Heard at the commit. Who holds the lanes reads their floors, who does not is told that there is work."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT pg_notify(%s, ''), pg_notify(%s, %s)",
            [STEERING_CHANNEL, wakeup.CHANNEL, wakeup.compose(tenants)],
        )
