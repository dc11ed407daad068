"""The list of events: chosen by index, never counted, and gone through by place and not by page number."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from circuits.console import lists
from outbox.models import EventStatus, OutboxEvent
from outbox.operations import listing
from outbox.operations.filters import MOST_IDS, Filter, InvalidFilter

AGES = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}
_AGE_NAMES = {"1m": "1 minute", "1h": "1 hour", "1d": "1 day", "7d": "7 days"}


class Parameter(admin.SimpleListFilter):
    """Part of what is asked for. The list itself looks at all of them together."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", "")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> QuerySet[OutboxEvent]:
        return queryset


class TextFilter(Parameter):
    """A text to type: a list of all topics would be as long as the table."""

    template = "admin/outbox/text_filter.html"

    def choices(self, changelist: Any) -> Iterator[Any]:
        others = [(name, value) for name, value in changelist.request_params if name not in (self.parameter_name, "p")]
        yield {"name": self.parameter_name, "value": self.value() or "", "others": others}


class TenantFilter(TextFilter):
    title = "tenant"
    parameter_name = "tenant"


class TopicFilter(TextFilter):
    title = "topic"
    parameter_name = "topic"


class ErrorClassFilter(TextFilter):
    title = "error class"
    parameter_name = "error_class"


class StatusFilter(Parameter):
    title = "status"
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in EventStatus.choices]


class AgeFilter(Parameter):
    title = "age"
    parameter_name = "older_than"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, f"more than {name}") for value, name in _AGE_NAMES.items()]


class PlaceFilter(Parameter):
    """Where the list goes on. Not shown: a link leads there."""

    title = "place"
    parameter_name = "after"

    def has_output(self) -> bool:
        return False


FILTERS = (StatusFilter, TenantFilter, TopicFilter, ErrorClassFilter, AgeFilter, PlaceFilter)


class EventChangeList(ChangeList):
    """Takes the first `MOST_LISTED` events that match from the index; the pages are those of these."""

    following: str | None = None
    """Where the list goes on behind them."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.request_params = list(request.GET.items())
        super().get_queryset(request, exclude_parameters)  # sets up the filters; its rows are not asked for
        try:
            found = self._page(request)
        except InvalidFilter as error:
            raise IncorrectLookupParameters(error) from error
        self.following = found.next
        ids = [row.event_id for row in found.rows]
        by_number = [row.event_id for row in found.rows] == sorted(ids, reverse=True)
        order = ("-id",) if by_number else ("-tenant_id", "-created_at", "-id")
        rows: QuerySet[Any] = self.root_queryset.filter(pk__in=ids).order_by(*order)
        return rows

    def _page(self, request: HttpRequest) -> listing.Page:
        using = self.root_queryset.db
        given = asked(request, self.query, using=using)
        if given is None:
            return listing.Page(rows=(), next=None, looked_at=0)
        after = request.GET.get("after") or None
        return listing.page(given, limit=lists.MOST_LISTED, after=after, newest_first=True, using=using)


def asked(request: HttpRequest, search: str, *, using: str) -> Filter | None:
    """What the parameters ask for; None if nothing can match. Raises `InvalidFilter`."""
    status, age = request.GET.get("status__exact"), request.GET.get("older_than")
    if (status and status not in EventStatus.values) or (age and age not in AGES):
        raise InvalidFilter("there is no such status or age")
    given = Filter(
        tenant_id=request.GET.get("tenant") or None,
        topic=request.GET.get("topic") or None,
        statuses=(EventStatus(status),) if status else (),
        error_class=request.GET.get("error_class") or None,
        created_before=listing.created_before(age=AGES[age], using=using) if age else None,
    )
    return _searched(given, search.split(maxsplit=1), using)


def _searched(given: Filter, words: list[str], using: str) -> Filter | None:
    if not words:
        return given
    if len(words) == 1 and words[0].isdecimal():
        return given.narrowed(ids=(int(words[0]),)) if 0 < int(words[0]) < 2**63 else None
    tenant_id = words[0]
    if given.tenant_id not in (None, tenant_id):
        return None
    given = given.narrowed(tenant_id=tenant_id)
    if len(words) == 1:
        return given
    rows = OutboxEvent.objects.using(using).filter(tenant_id=tenant_id, dedupe_key__startswith=words[1].strip())
    ids = tuple(rows.order_by("dedupe_key").values_list("id", flat=True)[:MOST_IDS])
    return given.narrowed(ids=ids) if ids else None
