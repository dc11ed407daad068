"""What the demo has received, and what waits for the memory, to be looked at beside the outbox."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django_q import admin as queue
from django_q.models import Failure, OrmQ, Schedule, Success

from circuits.console import scope
from circuits.console.lists import BoundedAdmin, ReadOnlyAdmin
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
    not_counted = ("version",)
    ordering = ("event_id",)
    sortable_by = ("event_id",)


class QueueAdmin(BoundedAdmin):
    """Of django-q2. Tasks are of no tenant, and may name any: they do not exist for staff limited to some."""

    tenant_field = None

    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) and _is_free(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and _is_free(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and _is_free(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _is_free(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_free(request)


def _is_free(request: HttpRequest) -> bool:
    return scope.tenants_of(request) is None


# Importing its module has registered the pages that these take the place of.
admin.site.unregister([Schedule, Success, Failure, OrmQ])


@admin.register(Schedule)
class ScheduleAdmin(QueueAdmin, queue.ScheduleAdmin):  # type: ignore[misc]  # not typed
    """When which task is due."""


@admin.register(Success)
class SuccessAdmin(QueueAdmin, queue.TaskAdmin):  # type: ignore[misc]  # not typed
    """Tasks that are done."""


@admin.register(Failure)
class FailureAdmin(QueueAdmin, queue.FailAdmin):  # type: ignore[misc]  # not typed
    """Tasks that went wrong."""


@admin.register(OrmQ)
class WaitingAdmin(QueueAdmin, queue.QueueAdmin):  # type: ignore[misc]  # not typed
    """Tasks that wait."""
