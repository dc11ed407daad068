from django.contrib import admin

from circuits.console.lists import ReadOnlyAdmin
from outbox.models import OutboxLane


@admin.register(OutboxLane)
class LaneAdmin(ReadOnlyAdmin):
    """Lanes by tenant, with the relay that holds them."""

    list_display = ("tenant_id", "has_work", "virtual_time", "owner", "token", "leased_until", "rate_clock", "floor")
    not_counted = ("token",)
    ordering = ("tenant_id",)
    sortable_by = ("tenant_id",)
    search_fields = ("tenant_id__startswith",)
    search_help_text = "The beginning of a tenant's name."
