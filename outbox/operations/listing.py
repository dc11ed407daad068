"""Lists of events, whatever the size of the table: by index, a page at a time, and never counted.

What an index answers is asked of the database, in the index's order; the rest is looked at here, row by row, up to
`MOST_LOOKED_AT` of them a page. So a page costs the same at any size, and may end before it is full: then it says where
to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from typing import Any

from django.db import connections
from django.db.models import BooleanField, F, Func, QuerySet, Value
from django.db.models.lookups import GreaterThan, LessThan

from outbox import conf
from outbox.models import EventStatus, OutboxEvent
from outbox.operations.filters import EVENT_COLUMNS, EventRow, Filter, InvalidFilter, Place
from outbox.operations.of_tenants import OfTenants
from outbox.operations.quick import quick

MOST_LOOKED_AT = 20_000
CHUNK = 1_000

_PLACE = ("tenant_id", "created_at", "id")

Chunks = Callable[[tuple[Any, ...] | None, int], list[EventRow]]
"""The next rows after a key, at most so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Part of a list."""

    rows: tuple[EventRow, ...]
    next: str | None
    """Where the list goes on; None at its end."""
    looked_at: int


def page(
    given: Filter,
    *,
    limit: int,
    after: str | None = None,
    newest_first: bool = False,
    most: int = MOST_LOOKED_AT,
    using: str | None = None,
) -> Page:
    """The events that match: by tenant and age; without a tenant and a status, by their number.

    `after`: the `next` of the page before, from the same filter and direction.
    `most`: how many events to look at for those that match.
    Raises `InvalidFilter` for a place that `next` cannot have said.
    """
    alias = using or conf.get().database
    order = _Order(given, newest_first=newest_first)
    place = order.parse(after)
    if given.is_of_nobody:
        return Page(rows=(), next=None, looked_at=0)
    rows: list[EventRow] = []
    last: EventRow | None = None
    looked_at = 0
    with quick(alias):
        for row in order.rows(alias, place, chunk=limit + 1 if order.is_close else CHUNK):
            if last is not None and (len(rows) == limit or looked_at == most):
                return Page(rows=tuple(rows), next=order.say(last), looked_at=looked_at)
            looked_at, last = looked_at + 1, row
            if given.matches(row):
                rows.append(row)
    return Page(rows=tuple(rows), next=None, looked_at=looked_at)


def created_before(*, age: timedelta, using: str | None = None) -> datetime:
    """When events of this age were created, by the clock that stamped them. Raises `InvalidFilter`."""
    try:
        return database_now(using=using) - age
    except OverflowError as error:
        raise InvalidFilter(f"{age} ago there were no events") from error


def database_now(*, using: str | None = None) -> datetime:
    """The database's clock."""
    with connections[using or conf.get().database].cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        ((now,),) = cursor.fetchall()
    found: datetime = now
    return found


def last_id(*, using: str) -> int:
    """The number of the newest event there is, 0 when there is none."""
    return OutboxEvent.objects.using(using).order_by("-id").values_list("id", flat=True).first() or 0


class _Order:
    """In which order a filter's events come, and from which indexes."""

    def __init__(self, given: Filter, *, newest_first: bool) -> None:
        self._filter = given
        self._reverse = newest_first
        self._named = given.is_named
        self._tenant = given.only_tenant
        # No index has the numbers of some tenants' events.
        anybody = given.tenant_id is None and given.tenants is None
        self._by_id = not self._named and anybody and set(given.possible) == set(EventStatus)

    @property
    def is_close(self) -> bool:
        """Whether the database returns little but what matches: newer events than were asked for may be among it."""
        given = self._filter
        if self._named or (given.created_before, given.partition_key) != (None, None):
            return False
        by_index = 1 if given.possible == (EventStatus.FAILED,) else 0
        return sum(each is not None for each in (given.topic, given.error_class)) <= by_index

    def parse(self, after: str | None) -> tuple[Any, ...] | None:
        if after is None:
            return None
        if not self._by_id:
            return Place.parse(after)
        if not after.isdecimal() or int(after) >= 2**63:
            raise InvalidFilter(f"{after!r} is no place in a list of events by number: pass on what it said before")
        return (int(after),)

    def say(self, row: EventRow) -> str:
        return str(row.event_id) if self._by_id else str(row.place)

    def rows(self, alias: str, after: tuple[Any, ...] | None, *, chunk: int) -> Iterator[EventRow]:
        events = OutboxEvent.objects.using(alias)
        if self._named:
            found = sorted(_read(self._by_name(events)), key=self._key, reverse=self._reverse)
            return (row for row in found if after is None or self._is_behind(self._key(row), after))
        if self._by_id:
            return _stream(self._chunks(events.all(), ("id",)), after, min(chunk, CHUNK), self._key)
        streams = [
            _stream(self._chunks_of(events, status), after, min(chunk, CHUNK), self._key)
            for status in self._filter.possible
        ]
        return merge(*streams, key=self._key, reverse=self._reverse)

    def _key(self, row: EventRow) -> tuple[Any, ...]:
        return (row.event_id,) if self._by_id else row.place

    def _is_behind(self, key: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
        return key < after if self._reverse else key > after

    def _chunks_of(self, events: QuerySet[OutboxEvent], status: EventStatus) -> Chunks:
        if self._tenant is None and self._filter.tenants is not None:
            return OfTenants(self._filter, status, alias=events.db, reverse=self._reverse).read
        return self._chunks(self._indexed(events, status), _PLACE)

    def _by_name(self, events: QuerySet[OutboxEvent]) -> QuerySet[OutboxEvent]:
        if self._filter.tenants is not None:
            events = events.filter(tenant_id__in=self._filter.tenants)
        if self._filter.ids:
            return events.filter(id__in=self._filter.ids)
        return events.filter(tenant_id=self._filter.tenant_id, dedupe_key=self._filter.dedupe_key)

    def _indexed(self, events: QuerySet[OutboxEvent], status: EventStatus) -> QuerySet[OutboxEvent]:
        """What an index answers in this order. Everything else is left to `Filter.matches`."""
        events = events.filter(status=status)
        if self._tenant is not None:
            events = events.filter(tenant_id=self._tenant)
            if self._filter.created_before is not None:
                events = events.filter(created_at__lt=self._filter.created_before)
        if status is EventStatus.FAILED:
            if self._filter.topic is not None:
                return events.filter(topic=self._filter.topic)
            if self._filter.error_class is not None:
                return events.filter(error_class=self._filter.error_class)
        return events

    def _chunks(self, events: QuerySet[OutboxEvent], order: tuple[str, ...]) -> Chunks:
        if order == _PLACE and self._tenant is not None:
            # Compared with the tenant as well, an index would be entered where the tenant begins.
            order = order[1:]

        def read(after: tuple[Any, ...] | None, count: int) -> list[EventRow]:
            found = events.order_by(*(f"-{name}" if self._reverse else name for name in order))
            if after is not None:
                beyond = LessThan if self._reverse else GreaterThan
                found = found.filter(beyond(_row(map(F, order)), _row(map(Value, after[-len(order) :]))))
            return _read(found[:count])

        return read


class _Row(Func):
    """A row value, which PostgreSQL compares column by column, and looks up in an index so."""

    function = "ROW"
    output_field = BooleanField()


def _row(parts: Iterable[F | Value]) -> _Row:
    return _Row(*parts)


def _stream(
    chunks: Chunks, after: tuple[Any, ...] | None, chunk: int, key: Callable[[EventRow], tuple[Any, ...]]
) -> Iterator[EventRow]:
    while True:
        rows = chunks(after, chunk)
        yield from rows
        if len(rows) < chunk:
            return
        after = key(rows[-1])
        # Where little matches after all, many small reads would cost more than a few large ones.
        chunk = min(CHUNK, 2 * chunk)


def _read(events: QuerySet[OutboxEvent]) -> list[EventRow]:
    return [EventRow.of(row) for row in events.values_list(*EVENT_COLUMNS)]
