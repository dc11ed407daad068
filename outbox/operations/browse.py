"""The list of events as staff go through it: a page from an index, at the same cost at any size, forth and back.

Which index answers is said in `browse_*.sql`, beside each part. What none answers is looked for among the next
`MOST_LOOKED_AT` events; a page that ends there says how far it looked, and where to go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import connections

from outbox import conf, sql
from outbox.models import EventStatus, OutboxEvent
from outbox.operations.filters import EVENT_COLUMNS, EventRow, Filter, InvalidFilter, Place
from outbox.operations.listing import database_now
from outbox.operations.quick import quick

PAGE = 50
MOST_LOOKED_AT = 20_000
KEY_WINDOW = timedelta(days=1)
"""No index knows the partition keys of pending and sent events: this much of a tenant's time is looked through."""

OUT_OF_ORDER = 1_000
"""Numbers are drawn before rows are stamped: so many more are looked at than are as old as is asked."""

Direction = Literal["older", "newer"]
_EVERYTHING = "true"
_LAST_ID = 2**63 - 1
_FIRST_YEAR, _LAST_YEAR = 1970, 9_000
# Collation "C": before and behind every name of a tenant.
_EDGES: Mapping[Direction, tuple[str, str, int]] = {
    "older": ("~", "infinity", _LAST_ID),
    "newer": ("", "-infinity", 0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A page of the list, newest first: by tenant and time; all events of all tenants by their number."""

    rows: tuple[EventRow, ...]
    older: str | None
    """Where the list goes on; None at its end."""
    newer: str | None
    """Where it comes from; None at its beginning."""
    looked_to: datetime | None = None
    """Until an event of that time was looked for matches, and there are more beyond."""


def browse(
    given: Filter,
    *,
    limit: int = PAGE,
    after: str | None = None,
    before: str | None = None,
    using: str | None = None,
) -> Sheet:
    """The events that match.

    `after`: the `older` of another page of the same filter; `before`: its `newer`.
    Raises `InvalidFilter` for a place that no page has named.
    """
    alias = using or conf.get().database
    if given.is_of_nobody:
        return Sheet(rows=(), older=None, newer=None)
    with quick(alias):
        if given.is_named:
            return Sheet(rows=_named(given, limit, alias), older=None, newer=None)
        if before:
            return _Look(given, alias, limit, "newer", before).newer()
        return _Look(given, alias, limit, "older", after).older()


class _Look:
    """Through the events, from a place in one direction."""

    def __init__(self, given: Filter, alias: str, limit: int, direction: Direction, place: str | None) -> None:
        self._filter = given
        self._alias = alias
        self._limit = limit
        self._direction = direction
        self._text = place
        self._tenants = _tenants(given)
        self._by_number = self._tenants is None and set(given.possible) == set(EventStatus)
        self._place = _parsed(place, by_number=self._by_number)
        self._since, self._before = self._window()

    def older(self) -> Sheet:
        rows = self._rows()
        newer = self._say(rows[0]) if rows and self._text else self._text
        if len(rows) > self._limit:
            rows = rows[: self._limit]
            return Sheet(rows=tuple(rows), older=self._say(rows[-1]), newer=newer)
        beyond, looked_to = self._beyond()
        return Sheet(rows=tuple(rows), older=beyond, newer=newer, looked_to=looked_to)

    def newer(self) -> Sheet:
        rows = self._rows()
        # The first row of this direction is the last one shown.
        older = self._say(rows[0]) if rows else self._text
        if len(rows) > self._limit:
            rows = rows[: self._limit]
            return Sheet(rows=tuple(reversed(rows)), older=older, newer=self._say(rows[-1]))
        beyond, looked_to = self._beyond()
        return Sheet(rows=tuple(reversed(rows)), older=older, newer=beyond, looked_to=looked_to)

    def _rows(self) -> list[EventRow]:
        return self._read(sql.load("browse_matches"), most=MOST_LOOKED_AT, skip=0, limit=self._limit + 1)

    def _beyond(self) -> tuple[str | None, datetime | None]:
        """Where to go on, and how far was looked, when a page did not become full."""
        given = self._filter
        beside = (given.topic, given.error_class, given.partition_key, given.created_before, given.up_to_id)
        if all(each is None for each in beside):
            return None, None
        last = self._read(_EVERYTHING, most=MOST_LOOKED_AT, skip=MOST_LOOKED_AT - 1, limit=1)
        if last:
            return self._say(last[0]), last[0].created_at
        return self._beyond_the_window() if given.partition_key is not None else (None, None)

    def _beyond_the_window(self) -> tuple[str | None, datetime | None]:
        """The tenant's next event, where the next window begins: empty times are passed over."""
        backwards = self._direction == "older"
        edge = self._since if backwards else self._before
        self._place = Place(self._filter.tenant_id or "", datetime.fromisoformat(edge), 0)
        self._since, self._before = "-infinity", "infinity"
        found = self._read(_EVERYTHING, most=1, skip=0, limit=1)
        if not found:
            return None, None
        place = found[0].place
        step = 1 if backwards else -1
        return str(place._replace(event_id=place.event_id + step)), datetime.fromisoformat(edge)

    def _window(self) -> tuple[str, str]:
        given = self._filter
        since, before = "-infinity", str(given.created_before or "infinity")
        if given.partition_key is None:
            return since, before
        if self._direction == "newer" and isinstance(self._place, Place):
            return str(self._place.created_at), str(self._place.created_at + KEY_WINDOW)
        begin = self._place.created_at if isinstance(self._place, Place) else database_now(using=self._alias)
        begin = min(begin, given.created_before or begin)
        return str(begin - KEY_WINDOW), before

    def _say(self, row: EventRow) -> str:
        return str(row.event_id) if self._by_number else str(row.place)

    def _read(self, matches: str, *, most: int, skip: int, limit: int) -> list[EventRow]:
        name, parameters = self._statement()
        statement = sql.load(name).format(
            columns=", ".join(EVENT_COLUMNS),
            beyond="<" if self._direction == "older" else ">",
            down="DESC" if self._direction == "older" else "ASC",
            matches=matches,
        )
        with connections[self._alias].cursor() as cursor:
            cursor.execute(statement, {**self._asked(), **parameters, "most": most, "skip": skip, "limit": limit})
            return [EventRow.of(row) for row in cursor.fetchall()]

    def _statement(self) -> tuple[str, dict[str, Any]]:
        tenant, time, number = _EDGES[self._direction]
        if self._by_number:
            return "browse_numbers", {"number": self._start() if self._place is None else self._place}
        place = self._place if isinstance(self._place, Place) else None
        if self._tenants is not None:
            return "browse_tenants", self._places(self._tenants, place)
        if place is not None:
            tenant, time, number = place.tenant_id, str(place.created_at), place.event_id
        return "browse_statuses", {"tenant": tenant, "time": time, "number": number}

    def _start(self) -> int:
        """Where events begin to be as old as is asked, instead of at the newest."""
        if self._direction == "newer" or self._filter.created_before is None:
            return _EDGES[self._direction][2]
        with connections[self._alias].cursor() as cursor:
            cursor.execute(sql.load("number_at"), {"at": self._filter.created_before})
            ((found,),) = cursor.fetchall()
        self._place = _LAST_ID if found is None else int(found) + OUT_OF_ORDER
        return self._place

    def _places(self, tenants: tuple[str, ...], place: Place | None) -> dict[str, Any]:
        """Where each tenant's events begin: behind the place, which is within one of them."""
        _, time, number = _EDGES[self._direction]
        backwards = self._direction == "older"
        left = [
            each
            for each in sorted(tenants, reverse=backwards)
            if place is None or each == place.tenant_id or (each < place.tenant_id) == backwards
        ]
        within = {place.tenant_id: (str(place.created_at), place.event_id)} if place else {}
        places = [within.get(each, (time, number)) for each in left]
        return {
            "tenants": left,
            "times": [each for each, _ in places],
            "numbers": [each for _, each in places],
            "since": self._since,
            "before": self._before,
        }

    def _asked(self) -> dict[str, Any]:
        given = self._filter
        return {
            "statuses": [status.value for status in given.possible],
            "topic": given.topic,
            "error_class": given.error_class,
            "partition_key": given.partition_key,
            "created_before": given.created_before,
            "up_to_id": given.up_to_id,
        }


def _named(given: Filter, limit: int, alias: str) -> tuple[EventRow, ...]:
    events = OutboxEvent.objects.using(alias)
    if given.ids:
        # outbox_events_pkey
        events = events.filter(id__in=given.ids)
    else:
        # uq_outbox_tenant_dedupe
        events = events.filter(tenant_id=given.tenant_id, dedupe_key=given.dedupe_key)
    rows = [EventRow.of(row) for row in events.values_list(*EVENT_COLUMNS)]
    matching = sorted((row for row in rows if given.matches(row)), key=lambda row: row.place, reverse=True)
    return tuple(matching[:limit])


def _tenants(given: Filter) -> tuple[str, ...] | None:
    """Whose events can match; None: everybody's."""
    if given.tenant_id is not None:
        return (given.tenant_id,)
    return given.tenants


def _parsed(place: str | None, *, by_number: bool) -> Place | int | None:
    if not place:
        return None
    if not by_number:
        found = Place.parse(place)
        if not _FIRST_YEAR <= found.created_at.year <= _LAST_YEAR:
            raise InvalidFilter(f"{place!r} is no place in a list of events: there were none at that time")
        return found
    if not (place.isascii() and place.isdecimal()) or int(place) > _LAST_ID:
        raise InvalidFilter(f"{place!r} is no place in a list of events by number: pass on what it said before")
    return int(place)
