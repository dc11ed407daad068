"""What happens to events, as it happens: asked for again and again, by primary key and never by a search.

No index says which events were sent last, since every such index would slow their sending down. So events are watched:
those that are enqueued, replayed, or fail from now on, and the first ones that each tenant has waiting. Where more is
sent than can be watched, some goes by unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import Max, Model, QuerySet

from outbox import conf, sql
from outbox.models import EventStatus, OperatorAction, OutboxAttempt, OutboxEvent
from outbox.operations import backlog
from outbox.operations.filters import MOST_IDS, EventRow, Filter
from outbox.operations.listing import database_now, page
from outbox.operations.quick import quick

MOST_WATCHED = 20_000
MOST_NEW = 5_000
MOST_TENANTS = 500
FIRST_OF_EACH = 20
OVERLAP = 500
"""Numbers are drawn before the commit: so many are looked at again for those that appear late."""

_STARTED = ("replay",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that happened to an event."""

    at: datetime
    what: str
    """`sent`, `retry` or `failed` after a failed attempt, or `discarded`."""
    event: EventRow
    message: str = ""
    """What the broker said to a failed attempt."""


class Tail:
    """Watches from the moment it is made."""

    def __init__(self, given: Filter, *, using: str | None = None) -> None:
        self._filter = given
        self._alias = using or conf.get().database
        self._watched: dict[int, None] = {}
        self._events = _Newcomers(OutboxEvent, self._alias)
        self._attempts = _Newcomers(OutboxAttempt, self._alias)
        self._actions = _Newcomers(OperatorAction, self._alias)
        self._watch(self._first_waiting())

    def poll(self) -> list[Happening]:
        """What has happened since the last call, oldest first."""
        with quick(self._alias):
            found = self._failures()
            for action in self._actions.read("verb", "before"):
                if action["verb"] in _STARTED:
                    self._watch(each for ids in (action["before"] or {}).values() for each in ids)
            self._watch(row["id"] for row in self._events.read("tenant_id") if self._is_of_tenant(row["tenant_id"]))
            found += self._finished()
        self._watch(self._first_waiting())
        return sorted(found, key=lambda each: each.at)

    def _is_of_tenant(self, tenant_id: str) -> bool:
        return self._filter.tenant_id in (None, tenant_id)

    def _watch(self, ids: Iterable[int]) -> None:
        self._watched.update(dict.fromkeys(ids))
        for event_id in list(self._watched)[: max(0, len(self._watched) - MOST_WATCHED)]:
            del self._watched[event_id]

    def _failures(self) -> list[Happening]:
        attempts = self._attempts.read("event_id", "at", "message")
        events = self._rows({attempt["event_id"] for attempt in attempts})
        self._watch(events)
        return [
            Happening(
                at=attempt["at"],
                what="failed" if events[attempt["event_id"]].status is EventStatus.FAILED else "retry",
                event=events[attempt["event_id"]],
                message=attempt["message"],
            )
            for attempt in attempts
            if attempt["event_id"] in events and self._filter.matches(events[attempt["event_id"]])
        ]

    def _finished(self) -> list[Happening]:
        """A dead letter is told of by its attempt."""
        done = (EventStatus.SENT, EventStatus.DISCARDED, EventStatus.FAILED)
        events = OutboxEvent.objects.using(self._alias).filter(status__in=done)
        ids = list(self._watched)
        finished = [
            event_id
            for at in range(0, len(ids), MOST_IDS)
            for event_id in events.filter(id__in=ids[at : at + MOST_IDS]).values_list("id", flat=True)
        ]
        now, rows = database_now(using=self._alias), self._rows(set(finished))
        for event_id in finished:
            self._watched.pop(event_id, None)
        return [
            Happening(at=row.sent_at or now, what=row.status.value, event=row)
            for row in rows.values()
            if row.status in (EventStatus.SENT, EventStatus.DISCARDED) and self._filter.matches(row)
        ]

    def _first_waiting(self) -> list[int]:
        tenants = [each.tenant_id for each in backlog.snapshot(using=self._alias).tenants if each.pending]
        if self._filter.tenant_id is not None:
            tenants = [self._filter.tenant_id]
        params: dict[str, Any] = {"tenants": tenants[:MOST_TENANTS], "events": FIRST_OF_EACH}
        with quick(self._alias), connections[self._alias].cursor() as cursor:
            cursor.execute(sql.load("first_pending"), params)
            return [event_id for (event_id,) in cursor.fetchall()]

    def _rows(self, ids: set[int]) -> dict[int, EventRow]:
        named = sorted(ids)
        found: dict[int, EventRow] = {}
        for at in range(0, len(named), MOST_IDS):
            chunk = Filter(ids=tuple(named[at : at + MOST_IDS]))
            found |= {row.event_id: row for row in page(chunk, limit=MOST_IDS, using=self._alias).rows}
        return found


class _Newcomers:
    """Rows that are added to a table, told once each."""

    def __init__(self, model: type[Model], alias: str) -> None:
        self._rows: QuerySet[Any] = model._default_manager.using(alias).order_by("id")
        self._last: int = self._rows.aggregate(last=Max("id"))["last"] or 0
        self._seen = set(self._recent())

    def read(self, *columns: str) -> list[dict[str, Any]]:
        found = list(self._rows.filter(id__gt=self._last - OVERLAP).values("id", *columns)[:MOST_NEW])
        new = [row for row in found if row["id"] not in self._seen]
        if found:
            self._last = max(self._last, found[-1]["id"])
            self._seen = {row["id"] for row in found if row["id"] > self._last - OVERLAP}
        return new

    def _recent(self) -> list[int]:
        return list(self._rows.filter(id__gt=self._last - OVERLAP).values_list("id", flat=True))
