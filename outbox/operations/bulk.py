"""Changing many events: in batches, each a transaction of its own with its record of what was done.

Batches go by tenant and age, so that a key's events are changed in their order. What was done is done: a bulk that was
interrupted is run again, or goes on from where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connections

from outbox import conf, sql, wakeup
from outbox.models import EventStatus
from outbox.operations import audit
from outbox.operations.audit import Operator
from outbox.operations.filters import EventRow, Filter
from outbox.operations.listing import last_id, page
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
    asked = _asked(change, given, alias)
    so_far = Progress(next=after, up_to_id=asked.up_to_id)
    for rows, looked_at, following in _batches(asked, alias, after=after, limit=limit):
        rights = [row for row in rows if row.status in change.statuses]
        batch = {**asked.as_json(), **({"after": so_far.next} if so_far.next else {})}
        changed = _apply(change, rights, alias, by=by, reason=reason, asked=batch) if rights else 0
        skipped = Counter(so_far.skipped)
        skipped.update(row.status.value for row in rows if row.status not in change.statuses)
        skipped.update({"changing": len(rights) - changed} if len(rights) > changed else {})
        so_far = Progress(
            changed=so_far.changed + changed,
            skipped=dict(skipped),
            looked_at=so_far.looked_at + looked_at,
            next=following,
            up_to_id=asked.up_to_id,
        )
        progress(so_far)
    return so_far


def preview(
    change: Change, given: Filter, *, limit: int | None = None, after: str | None = None, using: str | None = None
) -> Preview:
    """What `run` would do; counts no further than `MOST_PREVIEWED`."""
    alias = using or conf.get().database
    most = min(limit or MOST_PREVIEWED, MOST_PREVIEWED)
    found = page(_asked(change, given, alias), limit=most, after=after, most=10 * MOST_PREVIEWED, using=alias)
    rights = [row for row in found.rows if row.status in change.statuses]
    wrongs = [row for row in found.rows if row.status not in change.statuses]
    return Preview(
        events=len(rights),
        tenants=len({row.tenant_id for row in rights}),
        statuses=dict(Counter(row.status.value for row in rights)),
        skipped=dict(Counter(row.status.value for row in wrongs)),
        more=found.next is not None and len(found.rows) != limit,
    )


def _asked(change: Change, given: Filter, alias: str) -> Filter:
    """Events that are named are looked at whatever their status, so that it can be said why some are left alone."""
    if given.ids or given.dedupe_key is not None:
        return given
    statuses = tuple(status for status in given.possible if status in change.statuses)
    return given.narrowed(statuses=statuses, up_to_id=given.up_to_id or last_id(using=alias))


def _batches(
    asked: Filter, alias: str, *, after: str | None, limit: int | None
) -> Iterator[tuple[tuple[EventRow, ...], int, str | None]]:
    left = limit
    while left is None or left > 0:
        found = page(asked, limit=BATCH if left is None else min(BATCH, left), after=after, using=alias)
        left = None if left is None else left - len(found.rows)
        after = found.next
        yield found.rows, found.looked_at, after
        if after is None:
            return


def _apply(
    change: Change, rows: Collection[EventRow], alias: str, *, by: Operator, reason: str, asked: Mapping[str, Any]
) -> int:
    tenants = sorted({row.tenant_id for row in rows})
    with quick(alias):
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
                filter=asked,
                counts=counts,
                before=before,
                after={"status": change.becomes.value},
            )
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
