"""The list of what operators did: a form that chooses by index, and pages by number."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from circuits.console import scope, times
from outbox.models.names import TENANT_MAX_LENGTH
from outbox.operations.actions import PAGE, ActionFilter, ActionPage, browse
from outbox.operations.audit import MOST_REASON

PLACE, ZONE = "before", "zone"
_TIMES = ("since", "until")
# Of Django's admin.
_NEUTRAL = ("e", "p", "o", "all", "_popup", "_to_field", "_facets")


class ActionFilterForm(forms.Form):
    """One field each; what is empty is not asked for."""

    actor = forms.CharField(required=False, max_length=255, label="Who")
    verb = forms.CharField(required=False, max_length=32, label="What")
    tenant = forms.CharField(required=False, max_length=TENANT_MAX_LENGTH, label="Tenant")
    q = forms.CharField(required=False, max_length=MOST_REASON, label="Words in the reason")
    since = forms.DateTimeField(required=False, label="From", widget=forms.DateTimeInput({"type": "datetime-local"}))
    until = forms.DateTimeField(required=False, label="To", widget=forms.DateTimeInput({"type": "datetime-local"}))
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)
    zone = forms.CharField(required=False, widget=forms.HiddenInput)
    """Of From and To: the viewer's, which a script writes; the server's without it."""

    def __init__(self, given: QueryDict) -> None:
        super().__init__(given, auto_id="filter_%s")
        self.given = given
        self.zone_meant = times.zone_of(given.get(ZONE, "")) or timezone.get_current_timezone()
        said = format_html("<span{}>{}</span>", "" if self.has_times else SafeString(" data-zone"), self.zone_meant)
        for name in _TIMES:
            self.fields[name].label = format_html("{} ({})", self.fields[name].label, said)
        self.fields["verb"].widget.attrs["placeholder"] = "replay, pause, set_policy ..."

    @property
    def is_asking(self) -> bool:
        """Whether the list is not that of all actions."""
        return any(self.given.get(name) for name in self.fields if name not in (PLACE, ZONE))

    @property
    def has_times(self) -> bool:
        """Whether times were asked for: then they stay in the zone that they were asked in, whoever looks."""
        return any(self.given.get(name) for name in _TIMES)

    def full_clean(self) -> None:
        with timezone.override(self.zone_meant):
            super().full_clean()

    def asked(self, *, tenants: frozenset[str] | None) -> ActionFilter:
        """Of a form that is valid, for whoever may see what was about `tenants`; None: all."""
        values = self.cleaned_data
        return ActionFilter(
            actor=values["actor"],
            verb=values["verb"],
            tenant_id=values["tenant"],
            words=values["q"],
            since=values["since"],
            until=values["until"],
            tenants=tenants,
        )


class ActionChangeList(ChangeList):
    """A page of `browse`, with a link to the older one."""

    form: ActionFilterForm
    page: ActionPage

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.filter_specs, self.has_filters, self.has_active_filters = [], False, False
        self.clear_all_filters_qs = "?"
        self.form, self.page = ActionFilterForm(request.GET), ActionPage(actions=(), older=None)
        if self.form.is_valid():
            asked = self.form.asked(tenants=scope.tenants_of(request))
            self.page = browse(asked, before=self.form.cleaned_data[PLACE], using=self.root_queryset.db)
        rows: QuerySet[Any] = self.root_queryset
        return rows

    def get_results(self, request: HttpRequest) -> None:
        """The rows are there already: nothing is counted, and nothing read again."""
        self.result_list = list(self.page.actions)
        self.result_count = len(self.result_list)
        self.full_result_count = None
        self.show_full_result_count = self.show_admin_actions = False
        self.can_show_all = self.multi_page = False
        self.paginator = self.model_admin.get_paginator(request, self.result_list, PAGE)

    @property
    def older(self) -> str | None:
        """The parameters of the next page."""
        return None if self.page.older is None else self._leading(str(self.page.older))

    @property
    def first(self) -> str | None:
        """Of the latest page, if this is another one."""
        return self._leading("") if self.form.given.get(PLACE) else None

    def _leading(self, place: str) -> str:
        query = self.form.given.copy()
        query[PLACE] = place
        for name in [name for name, value in query.items() if not value or name in _NEUTRAL]:
            del query[name]
        return str(query.urlencode())
