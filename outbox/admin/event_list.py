"""The list of events: chosen by index, never counted, and gone through by place and not by page number."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from circuits.console import scope
from outbox.admin.event_filter import PLACES, QUICK, EventFilterForm
from outbox.models import OutboxEvent
from outbox.operations.browse import PAGE, Sheet, browse
from outbox.operations.filters import EVENT_COLUMNS, EventRow, Filter, InvalidFilter


class EventChangeList(ChangeList):
    """A page of `browse`, with links to the older and the newer one."""

    form: EventFilterForm
    sheet: Sheet
    asked: Filter | None
    """What is listed; None when it cannot be asked."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        if not hasattr(self, "sheet"):
            self._look(request)
        rows: QuerySet[Any] = self.root_queryset.filter(pk__in=[row.event_id for row in self.sheet.rows])
        return rows

    def get_results(self, request: HttpRequest) -> None:
        """The rows are there already: nothing is counted, and nothing read again."""
        self.result_list = [_instance(row, self.root_queryset.db) for row in self.sheet.rows]
        self.result_count = len(self.result_list)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = bool(self.result_list)
        self.can_show_all = False
        self.multi_page = False
        self.paginator = self.model_admin.get_paginator(request, self.result_list, PAGE)

    @property
    def older(self) -> str | None:
        """The parameters of the next page."""
        return self._leading(after=self.sheet.older)

    @property
    def newer(self) -> str | None:
        """Of the page before."""
        return self._leading(before=self.sheet.newer)

    @property
    def first(self) -> str | None:
        """Of the newest page, if this is another one."""
        return self._leading(after="") if any(self.params.get(name) for name in PLACES) else None

    def _look(self, request: HttpRequest) -> None:
        self.filter_specs, self.has_filters, self.has_active_filters = [], False, False
        self.clear_all_filters_qs = "?"
        self.form, self.asked = EventFilterForm(request.GET), None
        self.sheet = Sheet(rows=(), older=None, newer=None)
        if not self.form.is_valid():
            return
        try:
            self.asked = self.form.asked(tenants=scope.tenants_of(request), using=self.root_queryset.db)
            after, before = (request.GET.get(name) for name in PLACES)
            self.sheet = browse(self.asked, after=after, before=before, using=self.root_queryset.db)
        except InvalidFilter as error:
            self.form.add_error(None, f"{str(error)[:1].upper()}{str(error)[1:]}.")
            self.asked = None

    def _leading(self, **place: str | None) -> str | None:
        if None in place.values():
            return None
        query = self.form.given.copy()
        for name in (*PLACES, QUICK, "p", "e"):
            query.pop(name, None)
        for name, value in place.items():
            query[name] = value or ""
        for name in [name for name, value in query.items() if not value]:
            del query[name]
        return str(query.urlencode())


def asked(request: HttpRequest, *, using: str) -> Filter:
    """What the list with these parameters lists. Raises `InvalidFilter`."""
    form = EventFilterForm(request.GET)
    if not form.is_valid():
        raise InvalidFilter(" ".join(str(error) for errors in form.errors.values() for error in errors))
    return form.asked(tenants=scope.tenants_of(request), using=using)


def _instance(row: EventRow, alias: str) -> OutboxEvent:
    """Without payload and headers, which would be read if somebody asked for them."""
    values = [row.event_id, *(getattr(row, name) for name in EVENT_COLUMNS[1:])]
    return OutboxEvent.from_db(alias, EVENT_COLUMNS, values)
