from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import Truncator

from circuits.console import scope
from circuits.console.back import list_before, way_back
from circuits.console.lists import MOST_LISTED, ReadOnlyAdmin
from circuits.console.times import clock, moment
from outbox.admin.decisions import DECISIONS, Decision, DecisionForm, named
from outbox.admin.event_list import EventChangeList
from outbox.admin.event_page import EventPage
from outbox.admin.operator import operator
from outbox.models import OutboxEvent
from outbox.operations.filters import Filter, InvalidFilter


@admin.register(OutboxEvent)
class EventAdmin(EventPage, ReadOnlyAdmin):
    """Events, the newest first. The payload may be large and confidential: it stands on the event's own page only."""

    class Media:
        css: ClassVar[Any] = {"all": ("outbox/console.css", "outbox/events.css")}
        js = (Script("outbox/copy.js", defer=True),)

    list_display = ("id", "state", "tenant_id", "topic", "key", "attempts", "error_class", "created", "ends")
    # The order is that of the index that answers.
    sortable_by = ()
    actions = ("replay", "discard", "requeue")
    narrower = "Choose a tenant and a status, or name an event by its id or its dedupe key."

    # the list

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EventChangeList]:
        return EventChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Outbox events", **(extra_context or {})})

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxEvent]:
        rows: QuerySet[OutboxEvent] = super().get_queryset(request)
        return rows.defer("payload", "headers")

    @admin.display(description="key")
    def key(self, event: OutboxEvent) -> str:
        return Truncator(event.partition_key).chars(24)

    @admin.display(description="created")
    def created(self, event: OutboxEvent) -> str:
        return moment(event.created_at)

    @admin.display(description="sent or due")
    def ends(self, event: OutboxEvent) -> str:
        return clock(event.sent_at or event.available_at)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        decisions = [each for each in DECISIONS.values() if request.user.has_perm(each.permission)]
        listed = list_before(request, page=reverse("admin:outbox_outboxevent_changelist"))
        extra = {"decisions": decisions, "list_before": listed, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, extra)

    # replay and discard

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(DECISIONS["replay"].permission)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(DECISIONS["discard"].permission)

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(DECISIONS["requeue"].permission)

    @admin.action(permissions=["replay"], description="Replay selected ...")
    def replay(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> HttpResponse:
        return self._ask_about(request, DECISIONS["replay"], queryset)

    @admin.action(permissions=["discard"], description="Discard selected ...")
    def discard(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> HttpResponse:
        return self._ask_about(request, DECISIONS["discard"], queryset)

    @admin.action(permissions=["requeue"], description="Requeue selected ...")
    def requeue(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> HttpResponse:
        return self._ask_about(request, DECISIONS["requeue"], queryset)

    def get_urls(self) -> list[URLPattern]:
        decide = path("decide/<str:verb>/", self.admin_site.admin_view(self.decide_view), name="outbox_event_decide")
        return [decide, *super().get_urls()]

    def decide_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Asks, and does it once it is confirmed."""
        decision = DECISIONS.get(verb)
        if decision is None:
            raise Http404
        if not self.has_view_permission(request) or not request.user.has_perm(decision.permission):
            raise PermissionDenied
        if request.method != "POST":
            given = {"ids": request.GET.get("ids", ""), "back": self._way_back(request)}
            return self._ask(request, decision, decision.form(initial=given))
        form = decision.form(request.POST)
        return self._do(request, decision, form) if form.is_valid() else self._ask(request, decision, form)

    def _ask_about(self, request: HttpRequest, decision: Decision, queryset: QuerySet[OutboxEvent]) -> HttpResponse:
        ids = ",".join(str(event_id) for event_id in queryset.values_list("pk", flat=True)[:MOST_LISTED])
        return self._ask(request, decision, decision.form(initial={"ids": ids, "back": request.get_full_path()}))

    def _ask(self, request: HttpRequest, decision: Decision, form: DecisionForm) -> HttpResponse:
        try:
            given = _existing(request, named(form["ids"].value() or ""))
            found = decision.preview(given, using=self.get_queryset(request).db)
            sent = found.skipped.get("sent", 0)
        except InvalidFilter as error:
            raise Http404(str(error)) from error
        context = {
            **self.admin_site.each_context(request),
            "title": decision.title,
            "opts": self.opts,
            "media": self.media,
            "decision": decision,
            "form": form,
            "found": found,
            "sent": sent,
            "submit": decision.title,
            "action": reverse("admin:outbox_event_decide", args=[decision.verb]),
            "back": form["back"].value() or self._way_back(request),
        }
        return TemplateResponse(request, "admin/outbox/outboxevent/decide.html", context)

    def _do(self, request: HttpRequest, decision: Decision, form: DecisionForm) -> HttpResponse:
        done = decision.do(
            _existing(request, form.cleaned_data["ids"]),
            by=operator(request),
            reason=form.cleaned_data["reason"],
            using=self.get_queryset(request).db,
            **decision.options(form),
        )
        left = ", ".join(f"{number:,} {status}" for status, number in done.skipped.items())
        text = f"{decision.done} {done.changed:,} event{'' if done.changed == 1 else 's'}."
        level = messages.SUCCESS if done.changed else messages.WARNING
        self.message_user(request, f"{text} Left alone: {left}." if left else text, level)
        return HttpResponseRedirect(self._way_back(request))

    def _way_back(self, request: HttpRequest) -> str:
        """To the list as it was filtered."""
        return way_back(request, otherwise=reverse("admin:outbox_outboxevent_changelist"))


def _existing(request: HttpRequest, given: Filter) -> Filter:
    """Events of other tenants are nobody's, however they are named."""
    tenants = scope.tenants_of(request)
    return given if tenants is None else given.narrowed(tenants=tuple(sorted(tenants)))
