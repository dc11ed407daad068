from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from circuits.console import scope
from circuits.console.lists import MOST_LISTED, ReadOnlyAdmin
from outbox.admin.job_start import VIEW_EVENTS
from outbox.models import OutboxAttempt
from outbox.operations.attempts import MOST_LOOKED_AT, LatestAttempts, latest_attempts
from outbox.operations.quick import quick


class AttemptChangeList(ChangeList):
    """For staff limited to some tenants, the latest of theirs, looked for a bounded way."""

    latest: LatestAttempts | None = None
    most_looked_at = MOST_LOOKED_AT

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        tenants = scope.tenants_of(request)
        # An event that is named has few attempts.
        if tenants is None or self.query:
            return rows
        # One more than are listed: whether there are more is seen by it.
        self.latest = latest_attempts(tenants=tenants, limit=MOST_LISTED + 1, using=rows.db)
        return rows.filter(pk__in=self.latest.ids[:MOST_LISTED]).defer("message")

    def get_results(self, request: HttpRequest) -> None:
        """What was found is read once, and not counted before."""
        if self.latest is None:
            super().get_results(request)
            return
        with quick(self.queryset.db):
            self.paginator = Paginator(list(self.queryset), self.list_per_page)
        self.paginator.is_cut = len(self.latest.ids) > MOST_LISTED
        self.result_list = self.paginator.get_page(self.page_num).object_list
        self.result_count = self.paginator.count
        self.full_result_count = None
        self.show_full_result_count = self.show_admin_actions = self.can_show_all = False
        self.multi_page = self.paginator.num_pages > 1


@admin.register(OutboxAttempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Failed attempts, the latest first."""

    class Media:
        css: ClassVar[Any] = {"all": ("outbox/console.css", "outbox/events.css")}

    tenant_field = "event__tenant_id"
    list_display = ("id", "event_id", "at", "error_class", "code", "relay_id")
    not_counted = ("code",)
    ordering = ("-id",)
    sortable_by = ()
    # Not `event`: the page would read all of it, with its payload.
    fields = ("id", "event_page", "at", "error_class", "code", "message", "relay_id")
    search_fields = ("event_id",)
    search_help_text = "An event's id."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[AttemptChangeList]:
        return AttemptChangeList

    def get_fields(self, request: HttpRequest, obj: OutboxAttempt | None = None) -> tuple[str, ...]:
        if request.user.has_perm(VIEW_EVENTS):
            return self.fields
        return tuple("event_id" if name == "event_page" else name for name in self.fields)

    @admin.display(description="event")
    def event_page(self, attempt: OutboxAttempt) -> SafeString:
        page = reverse("admin:outbox_outboxevent_change", args=[attempt.event_id])
        return format_html('<a href="{}">{}</a>', page, attempt.event_id)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OutboxAttempt], search_term: str
    ) -> tuple[QuerySet[OutboxAttempt], bool]:
        event_id = search_term.strip()
        if not event_id:
            return queryset, False
        return queryset.filter(event_id=int(event_id)) if event_id.isdecimal() else queryset.none(), False
