"""What the demo has received, and what waits for the memory, to be looked at beside the outbox."""

from __future__ import annotations

from django.contrib import admin

from circuits.console.lists import ReadOnlyAdmin
from somabrain.models import QueuedWrite, WebhookDelivery


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """Deliveries, the newest first."""

    list_display = ("id", "tenant_id", "kind", "delivery_key", "received_at")
    search_fields = ("delivery_key",)
    ordering = ("-id",)
    sortable_by = ("id",)


@admin.register(QueuedWrite)
class QueuedWriteAdmin(ReadOnlyAdmin):
    """Writes to the memory that are not applied, the oldest first. The payload is the event's."""

    list_display = ("event_id", "tenant_id", "namespace", "key", "version", "queued_at", "rejected_at", "reason")
    list_filter = (("rejected_at", admin.EmptyFieldListFilter),)
    search_fields = ("=tenant_id", "=key")
    search_help_text = "A tenant or a key, exactly."
    ordering = ("event_id",)
    sortable_by = ("event_id",)
