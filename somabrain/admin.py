"""What the demo has received, and what waits for the memory, to be looked at beside the outbox."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django_q import admin as queue
from django_q.models import Failure, OrmQ, Schedule, Success

from circuits.console import scope
from circuits.console.lists import ReadOnlyAdmin
from somabrain.models import QueuedWrite, WebhookDelivery


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """Deliveries, the newest first."""

    list_display = ("id", "tenant_id", "kind", "delivery_key", "received_at")
    # Django shows the place of a search box if this is set.
    search_fields = ("delivery_key",)
    search_help_text = "A delivery's whole key."
    ordering = ("-id",)
    sortable_by = ("id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WebhookDelivery], search_term: str
    ) -> tuple[QuerySet[WebhookDelivery], bool]:
        """By its unique index."""
        key = search_term.strip()
        return (queryset.filter(delivery_key=key) if key else queryset), False


@admin.register(QueuedWrite)
class QueuedWriteAdmin(ReadOnlyAdmin):
    """Writes to the memory that are not applied, the oldest first. The payload is the event's."""

    list_display = ("event_id", "tenant_id", "namespace", "key", "version", "queued_at", "rejected_at", "reason")
    list_filter = (("rejected_at", admin.EmptyFieldListFilter),)
    search_fields = ("tenant_id",)
    search_help_text = "A tenant, or a tenant, a namespace and a key, whole ones with spaces between."
    not_counted = ("version",)
    ordering = ("event_id",)
    sortable_by = ("event_id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[QueuedWrite], search_term: str
    ) -> tuple[QuerySet[QueuedWrite], bool]:
        """By `ix_somabrain_queued_by_key`, which begins with the tenant."""
        words = search_term.split(maxsplit=2)
        given = dict(zip(("tenant_id", "namespace", "key"), words, strict=False))
        return queryset.filter(**{name: word.rstrip() for name, word in given.items()}), False


class QueueAdmin(ReadOnlyAdmin):
    """Of django-q2, to be looked at: what changes it there asks for no reason, and stands in no record.

    Tasks are of no tenant, and may name any: they do not exist for staff limited to some. No column but the key is
    searched or filtered by, since none has an index.
    """

    tenant_field = None
    list_filter = ()
    search_fields = ()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) and _is_free(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and _is_free(request)


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
