from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from circuits.console.lists import ReadOnlyAdmin
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
    def blocked(self, backlog: Any) -> int:
        """Of the pending ones, those that wait behind an open circuit."""
        return int(backlog.blocked)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        count = BacklogCount.objects.using(self.get_queryset(request).db).first()
        taken_at = count.taken_at if count else None
        title = "What waits: not counted yet"
        if taken_at is not None:
            title = f"What waits, as of {timezone.localtime(taken_at):%Y-%m-%d %H:%M:%S}"
        return super().changelist_view(request, {"title": title, **(extra_context or {})})


@admin.register(BacklogCount)
class BacklogCountAdmin(ReadOnlyAdmin):
    """The last count of all tenants together."""

    tenant_field = None
    list_display = ("taken_at", "oldest", "tenants", "pending", "scheduled", "failed", "seconds")

    @admin.display(description="oldest waited")
    def oldest(self, count: BacklogCount) -> timedelta | None:
        """When it was counted."""
        if count.taken_at is None or count.oldest_pending_at is None:
            return None
        return count.taken_at - count.oldest_pending_at
