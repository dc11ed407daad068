"""The page of one event: what happened to it, and what is in it as far as everybody may see that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.cache import patch_cache_control
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_variables

from circuits.console import scope
from circuits.console.badges import badge
from circuits.console.columns import AnyModelAdmin
from outbox.admin.decisions import ReasonForm
from outbox.admin.operator import operator
from outbox.kafka import shell
from outbox.models import OutboxEvent
from outbox.operations import contents, timeline
from outbox.operations.contents import MOST_BYTES, Contents
from outbox.operations.show import failed_attempts

MOST_SHOWN = 20_000
"""Characters of a payload on the event's page."""
REVEAL = "outbox.reveal_outboxevent"
_REMEMBERED = "_outbox_event"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Shown:
    """What templates write down of an event's contents. Without a representation, as these."""

    payload: str
    headers: dict[str, Any] | None
    """None: they are no object."""
    size: str
    cut: str
    is_left_out: bool
    is_redacted: bool
    lines: tuple[tuple[str, str], ...]
    """A program's name, and a line for a shell."""


class EventPage(AnyModelAdmin):
    """The event's own page, and the one that reveals what is redacted."""

    fields = ("tenant_id", "topic", "partition_key", "dedupe_key", "state", "attempts", "trouble", "size")

    @admin.display(description="status")
    def state(self, event: OutboxEvent) -> SafeString:
        return badge(event.status)

    @admin.display(description="error")
    def trouble(self, event: OutboxEvent) -> str:
        return ": ".join(part for part in (event.error_class, event.last_error) if part) or "none"

    @admin.display(description="payload's size")
    def size(self, event: OutboxEvent) -> str:
        return f"{event.payload_bytes:,} bytes"

    def get_urls(self) -> list[URLPattern]:
        reveal = path(
            "<int:event_id>/reveal/", self.admin_site.admin_view(self.reveal_view), name="outbox_outboxevent_reveal"
        )
        return [reveal, *super().get_urls()]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> OutboxEvent | None:
        """Read once a request."""
        remembered: tuple[str, OutboxEvent | None] | None = getattr(request, _REMEMBERED, None)
        if remembered is None or remembered[0] != object_id:
            remembered = (object_id, super().get_object(request, object_id, from_field))
            setattr(request, _REMEMBERED, remembered)
        return remembered[1]

    @sensitive_variables()
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        event = self.get_object(request, object_id)
        extra = self._extra(request, event) if event and self.has_view_permission(request, event) else {}
        return super().change_view(request, object_id, form_url, {**extra, **(extra_context or {})})

    @sensitive_variables()
    def reveal_view(self, request: HttpRequest, event_id: int) -> HttpResponse:
        """Asks why, and shows everything in the answer: no link leads there, and nothing of it is kept."""
        if not self.has_view_permission(request) or not self.has_reveal_permission(request):
            raise PermissionDenied
        event = self.get_object(request, str(event_id))
        if event is None:
            raise Http404("There is no such event.")
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._ask_why(request, event, form)
        reason, using = form.cleaned_data["reason"], event._state.db or "default"
        found = contents.reveal(event_id=event_id, by=operator(request), reason=reason, using=using)
        if found is None:
            raise Http404("There is no such event any more.")
        context = {
            **self._about(request, event, f"All of event {event_id}"),
            "shown": _shown(event, found, most=MOST_BYTES),
            "page": reverse("admin:outbox_outboxevent_change", args=[event_id]),
        }
        response = TemplateResponse(request, "admin/outbox/outboxevent/revealed.html", context)
        patch_cache_control(response, no_store=True, private=True)
        return response

    def has_reveal_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REVEAL)

    def _ask_why(self, request: HttpRequest, event: OutboxEvent, form: ReasonForm) -> HttpResponse:
        context = {
            **self._about(request, event, f"Reveal event {event.pk}"),
            "form": form,
            "submit": "Reveal",
            "action": reverse("admin:outbox_outboxevent_reveal", args=[event.pk]),
            "back": reverse("admin:outbox_outboxevent_change", args=[event.pk]),
        }
        return TemplateResponse(request, "admin/outbox/outboxevent/reveal.html", context)

    def _about(self, request: HttpRequest, event: OutboxEvent, title: str) -> dict[str, Any]:
        context = self.admin_site.each_context(request)
        return {**context, "title": title, "opts": self.opts, "media": self.media, "event": event}

    @sensitive_variables()
    def _extra(self, request: HttpRequest, event: OutboxEvent) -> dict[str, Any]:
        using = event._state.db or "default"
        found = contents.contents(event_id=event.pk, topic=event.topic, using=using)
        by_operators: tuple[timeline.Moment, ...] = ()
        if request.user.has_perm("outbox.view_operatoraction"):
            by_operators = timeline.by_operators(
                event_id=event.pk,
                tenant_id=event.tenant_id,
                since=event.created_at,
                tenants=scope.tenants_of(request),
                using=using,
            )
        headers = found.headers if found and isinstance(found.headers, dict) else {}
        moments = timeline.timeline(
            event,
            failed_attempts=failed_attempts(event.pk, using=using),
            by_operators=by_operators,
            replays=headers.get("replay"),
        )
        shown = _shown(event, found, most=MOST_SHOWN) if found else None
        return {"event": event, "moments": moments, "shown": shown, "may_reveal": self.has_reveal_permission(request)}


@sensitive_variables()
def _shown(event: OutboxEvent, found: Contents, *, most: int) -> Shown:
    text = "" if found.is_left_out else found.indented()
    is_cut = len(text) > most
    return Shown(
        payload=text[:most],
        headers=found.headers if isinstance(found.headers, dict) else None,
        size=f"{found.payload_bytes:,} bytes",
        cut=f"The first {most:,} of {len(text):,} characters." if is_cut else "",
        is_left_out=found.is_left_out,
        is_redacted=found.is_redacted,
        lines=() if is_cut or found.is_left_out else _lines(event, found),
    )


@sensitive_variables()
def _lines(event: OutboxEvent, found: Contents) -> tuple[tuple[str, str], ...]:
    sent = shell.message(
        event_id=event.pk,
        tenant_id=event.tenant_id,
        topic=event.topic,
        partition_key=event.partition_key,
        dedupe_key=event.dedupe_key,
        created_at=event.created_at,
        attempts=event.attempts,
        headers=found.headers,
        payload=found.payload,
    )
    return (("kcat", shell.kcat(sent)), ("curl", shell.curl(sent)))
