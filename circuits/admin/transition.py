from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from circuits.console.badges import badge
from circuits.console.lists import ReadOnlyAdmin
from circuits.models import CircuitTransition


@admin.register(CircuitTransition)
class TransitionAdmin(ReadOnlyAdmin):
    """What moved circuits, the newest first. Nobody can change it."""

    list_display = (
        "at",
        "tenant_id",
        "name",
        "state_before",
        "state_after",
        "why",
        "by",
        "reason",
        "failures",
        "error_code",
    )
    not_counted = ("epoch",)
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("tenant_id",)
    search_help_text = "A tenant, or a tenant and the name of a circuit: acme publish."

    @admin.display(description="from")
    def state_before(self, change: CircuitTransition) -> str:
        return badge(change.from_state)

    @admin.display(description="to")
    def state_after(self, change: CircuitTransition) -> str:
        return badge(change.to_state)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[CircuitTransition], search_term: str
    ) -> tuple[QuerySet[CircuitTransition], bool]:
        words = search_term.split()
        if words:
            queryset = queryset.filter(tenant_id=words[0])
        if len(words) > 1:
            queryset = queryset.filter(name=words[1])
        return queryset, False
