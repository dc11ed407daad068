from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from circuits.console.lists import ReadOnlyAdmin
from outbox.models import OperatorAction


@admin.register(OperatorAction)
class ActionAdmin(ReadOnlyAdmin):
    """What operators did, the latest first. The database refuses to change it."""

    tenant_field = None
    list_display = ("at", "actor", "source", "verb", "asked_for", "counted", "reason", "address")
    list_display_links = ("at",)
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("actor",)
    search_help_text = "Who did it, or a verb such as replay, discard, pause, resume or set_policy."
    fields = ("at", "actor", "source", "address", "verb", "reason", "asked_for", "counted", "was", "became")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OperatorAction], search_term: str
    ) -> tuple[QuerySet[OperatorAction], bool]:
        word = search_term.strip()
        if not word:
            return queryset, False
        return queryset.filter(verb=word) | queryset.filter(actor=word), False

    @admin.display(description="filter")
    def asked_for(self, action: OperatorAction) -> str:
        return _short(action.filter)

    @admin.display(description="counts")
    def counted(self, action: OperatorAction) -> str:
        return _short(action.counts)

    @admin.display(description="before")
    def was(self, action: OperatorAction) -> str:
        return _indented(action.before)

    @admin.display(description="after")
    def became(self, action: OperatorAction) -> str:
        return _indented(action.after)


def _short(value: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {json.dumps(part, ensure_ascii=False)}" for name, part in value.items())


def _indented(value: Any) -> str:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))
