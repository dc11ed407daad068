from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from circuits.console.ages import duration
from circuits.console.lists import ReadOnlyAdmin
from circuits.console.times import NOTHING, number
from outbox.models import BacklogCount, TenantBacklog
from outbox.models.backlog import TenantBacklogQuerySet


@admin.register(TenantBacklog)
class TenantBacklogAdmin(ReadOnlyAdmin):
    """What waits per tenant, those that wait longest first, as one process counted it for all."""

    list_display = ("tenant_id", "pending", "blocked", "oldest_pending_at", "scheduled", "failed")
    ordering = ("oldest_pending_at", "-failed", "tenant_id")
    sortable_by = ("tenant_id", "pending", "oldest_pending_at", "failed")
    search_fields = ("tenant_id__startswith",)
    search_help_text = "The beginning of a tenant's name."

    def get_queryset(self, request: HttpRequest) -> TenantBacklogQuerySet:
        rows: Any = super().get_queryset(request)
        found: TenantBacklogQuerySet = rows.with_blocked()
        return found

    @admin.display(ordering="blocked")
    def blocked(self, backlog: Any) -> str:
        """Of the pending ones, those that wait behind an open circuit."""
        return number(backlog.blocked)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        count = BacklogCount.objects.using(self.get_queryset(request).db).first()
        extra = {"title": "What waits", "taken_at": count.taken_at if count else None}
        return super().changelist_view(request, {**extra, **(extra_context or {})})


@admin.register(BacklogCount)
class BacklogCountAdmin(ReadOnlyAdmin):
    """The last count of all tenants together."""

    tenant_field = None
    not_counted = ("token",)
    list_display = ("taken_at", "oldest", "tenants", "pending", "scheduled", "failed", "seconds")

    @admin.display(description="oldest waited")
    def oldest(self, count: BacklogCount) -> str:
        """When it was counted."""
        if count.taken_at is None or count.oldest_pending_at is None:
            return NOTHING
        return duration(count.taken_at - count.oldest_pending_at)
