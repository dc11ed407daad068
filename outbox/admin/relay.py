from django.contrib import admin

from outbox.admin.base import ReadOnlyAdmin
from outbox.models import OutboxRelay


@admin.register(OutboxRelay)
class RelayAdmin(ReadOnlyAdmin):
    """The relays that run."""

    list_display = ("id", "host", "pid", "version", "started_at", "heartbeat_at", "lanes", "rate")
    ordering = ("host", "pid")
