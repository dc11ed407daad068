from django.contrib import admin

from circuits.console.lists import ReadOnlyAdmin
from outbox.models import OutboxRelay


@admin.register(OutboxRelay)
class RelayAdmin(ReadOnlyAdmin):
    """The relays that run."""

    tenant_field = None
    list_display = ("id", "host", "pid", "version", "started_at", "heartbeat_at", "lanes", "backlogged", "rate")
    not_counted = ("pid",)
    ordering = ("host", "pid")
