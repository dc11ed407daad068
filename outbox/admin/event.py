from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from outbox.admin.base import MOST_LISTED, ReadOnlyAdmin
from outbox.models import OutboxEvent


@admin.register(OutboxEvent)
class EventAdmin(ReadOnlyAdmin):
    """Events, the newest first. The payload may be large and confidential: it stands on the event's own page only."""

    list_display = (
        "id",
        "tenant_id",
        "topic",
        "partition_key",
        "dedupe_key",
        "status",
        "attempts",
        "error_class",
        "created_at",
        "available_at",
        "sent_at",
    )
    list_filter = ("status",)
    ordering = ("-id",)
    # No other order has an index over all statuses.
    sortable_by = ("id",)
    # Django shows a search box if this is set; what is searched is below.
    search_fields = ("id",)
    search_help_text = (
        f"An event's id, a tenant, or a tenant and the beginning of a dedupe key: acme order-17. "
        f"The list ends after {MOST_LISTED} events."
    )
    fields = (
        "id",
        "tenant_id",
        "topic",
        "partition_key",
        "dedupe_key",
        "status",
        "attempts",
        "error_class",
        "last_error",
        "created_at",
        "available_at",
        "sent_at",
        "kafka_partition",
        "kafka_offset",
        "payload_bytes",
        "indented_headers",
        "indented_payload",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxEvent]:
        return super().get_queryset(request).defer("payload", "headers")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OutboxEvent], search_term: str
    ) -> tuple[QuerySet[OutboxEvent], bool]:
        words = search_term.strip().split(maxsplit=1)
        if not words:
            return queryset, False
        if len(words) == 1 and words[0].isdecimal():
            return queryset.filter(id=words[0]), False
        tenant_id, *prefix = words
        found = queryset.filter(tenant_id=tenant_id)
        return found.filter(dedupe_key__startswith=prefix[0]) if prefix else found, False

    @admin.display(description="payload")
    def indented_payload(self, event: OutboxEvent) -> str:
        return _indented(event.payload)

    @admin.display(description="headers")
    def indented_headers(self, event: OutboxEvent) -> str:
        return _indented(event.headers)


def _indented(value: Any) -> str:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))
