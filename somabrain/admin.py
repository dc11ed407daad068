"""What the demo has received, to be looked at beside the outbox."""

from __future__ import annotations

from django.contrib import admin

from outbox.admin.base import ReadOnlyAdmin
from somabrain.models import WebhookDelivery


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """Deliveries, the newest first."""

    list_display = ("id", "tenant_id", "kind", "delivery_key", "received_at")
    search_fields = ("delivery_key",)
    ordering = ("-id",)
    sortable_by = ("id",)
