from __future__ import annotations

import json
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from circuits.console import scope
from circuits.console.lists import ReadOnlyAdmin
from circuits.console.times import moment, recorded
from outbox.admin.action_list import ActionChangeList
from outbox.models import OperatorAction
from outbox.operations.actions import asked_for

_MOST_SHOWN = 20
"""Tenants or numbers of events that a cell has room for."""


@admin.register(OperatorAction)
class ActionAdmin(ReadOnlyAdmin):
    """What operators did, the latest first. The database refuses to change it."""

    class Media:
        css: ClassVar[Any] = {"all": ("outbox/console.css", "outbox/events.css")}

    list_display = ("when", "who", "verb", "whom", "what", "counted", "reason")
    list_display_links = ("when",)
    ordering = ("-id",)
    sortable_by = ()
    # Django shows the place of a search box if this is set; what is looked for is in action_list.py.
    search_fields = ("id",)
    narrower = "Name a user, a tenant or a verb, or a shorter time."
    fields = ("when", "who", "verb", "whom", "reason", "what", "counted", "changes")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ActionChangeList]:
        return ActionChangeList

    def own(self, rows: Any, request: HttpRequest) -> QuerySet[Any]:
        """Of staff limited to some tenants what was about none but these."""
        found: QuerySet[Any] = rows.within(scope.tenants_of(request))
        return found

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> OperatorAction:
        action: OperatorAction = super().get_object(request, object_id, from_field)
        action.filter = asked_for(action, tenants=scope.tenants_of(request))
        return action

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response: Any = super().changelist_view(request, extra_context)
        changelist = getattr(response, "context_data", {}).get("cl")
        for action in getattr(changelist, "result_list", ()):
            action.filter = asked_for(action, tenants=scope.tenants_of(request))
        return response

    @admin.display(description="when")
    def when(self, action: OperatorAction) -> str | SafeString:
        return moment(action.at)

    @admin.display(description="who, from where")
    def who(self, action: OperatorAction) -> str | SafeString:
        beside = action.address or ("" if action.source == "admin" else action.get_source_display())
        return format_html('{} <span class="quiet">{}</span>', action.actor or "nobody named", beside)

    @admin.display(description="whom it was about")
    def whom(self, action: OperatorAction) -> str:
        if "*" in action.tenants:
            return "everyone"
        return _some(action.tenants)

    @admin.display(description="filter")
    def what(self, action: OperatorAction) -> str:
        return format_html_join(", ", "{}: {}", ((name, _said(value)) for name, value in action.filter.items())) or "-"

    @admin.display(description="counts")
    def counted(self, action: OperatorAction) -> str:
        return ", ".join(f"{number:,} {name}" for name, number in action.counts.items()) or "-"

    @admin.display(description="before and after")
    def changes(self, action: OperatorAction) -> str | SafeString:
        before, after = action.before or {}, action.after or {}
        rows = [(name, _cell(before, name), _cell(after, name)) for name in dict.fromkeys((*before, *after))]
        if not rows:
            return "-"
        head = '<thead><tr><th scope="col">What</th><th scope="col">Before</th><th scope="col">After</th></tr></thead>'
        body = format_html_join("", '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>', rows)
        return format_html("<table>{}<tbody>{}</tbody></table>", SafeString(head), body)


def _cell(values: dict[str, Any], name: str) -> str:
    return _said(values[name]) if name in values else "-"


def _said(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, list):
        return _some(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return recorded(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _some(values: list[Any]) -> str:
    more = len(values) - _MOST_SHOWN
    text = ", ".join(map(str, values[:_MOST_SHOWN]))
    return f"{text} and {more:,} more" if more > 0 else text or "-"
