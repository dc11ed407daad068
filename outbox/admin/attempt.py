from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from circuits.console.lists import ReadOnlyAdmin
from outbox.models import OutboxAttempt


@admin.register(OutboxAttempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Failed attempts, the latest first."""

    tenant_field = "event__tenant_id"
    list_display = ("id", "event_id", "at", "error_class", "code", "relay_id")
    ordering = ("-id",)
    sortable_by = ("id",)
    search_fields = ("event_id",)
    search_help_text = "An event's id."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OutboxAttempt], search_term: str
    ) -> tuple[QuerySet[OutboxAttempt], bool]:
        event_id = search_term.strip()
        if not event_id:
            return queryset, False
        return queryset.filter(event_id=int(event_id)) if event_id.isdecimal() else queryset.none(), False
