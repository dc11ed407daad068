"""Pausing and resuming, of tenants and of everyone: a page that asks whether they are sure, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from circuits.console import times
from circuits.console.back import way_back
from circuits.console.columns import AnyModelAdmin
from circuits.console.scope import may_see
from outbox.admin.decisions import ReasonForm
from outbox.admin.operator import operator
from outbox.errors import OutboxError
from outbox.models import TenantPolicy
from outbox.models.names import EVERY_TENANT, TENANT_MAX_LENGTH, TENANT_PATTERN
from outbox.operations import pause

MOST_TENANTS = 200
_MOST_NAMED = 20

_is_tenant = re.compile(TENANT_PATTERN).fullmatch


class PauseForm(ReasonForm):
    until = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=f"Ends by itself then. {times.SERVERS} Empty: when somebody resumes it.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["until"].label = f"Until ({times.zone()})"

    def clean_until(self) -> Any:
        until = self.cleaned_data["until"]
        if until is not None and until <= timezone.now():
            raise forms.ValidationError("Must lie in the future, else the pause is over already.")
        return until


_FORMS: dict[str, type[ReasonForm]] = {"pause": PauseForm, "resume": ReasonForm}
_OPERATIONS: dict[str, Callable[..., object]] = {"pause": pause.pause, "resume": pause.resume}
_EFFECTS = {
    "pause": "Nothing of them is published from now on. What is under way comes to its end, and enqueueing goes on.",
    "resume": "They are published again. A tenant that is paused by name stays so when everyone is resumed.",
}


class PausePages(AnyModelAdmin):
    """The policies' list with buttons for everyone, and actions for the tenants selected."""

    actions = ("pause", "resume")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.pause_view)
        return [path("decide/<str:verb>/", view, name="outbox_policy_decide"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        held = pause.pauses(using=self.get_queryset(request).db)
        of_everyone = next((each for each in held if each.of_everyone), None)
        sees_everyone = may_see(request, EVERY_TENANT)
        extra = {
            "pause_of_everyone": of_everyone,
            "may_pause_everyone": sees_everyone and self.has_pause_permission(request),
            # A reason may name other tenants.
            "shows_reasons": sees_everyone,
        }
        return super().changelist_view(request, {**extra, **(extra_context or {})})

    def has_pause_permission(self, request: HttpRequest, policy: TenantPolicy | None = None) -> bool:
        return request.user.has_perm("outbox.pause_tenantpolicy")

    @admin.action(permissions=["pause"], description="Pause selected ...")
    def pause(self, request: HttpRequest, queryset: QuerySet[TenantPolicy]) -> HttpResponse:
        return self._ask_about(request, "pause", queryset)

    @admin.action(permissions=["pause"], description="Resume selected ...")
    def resume(self, request: HttpRequest, queryset: QuerySet[TenantPolicy]) -> HttpResponse:
        return self._ask_about(request, "resume", queryset)

    def pause_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Asks, and does it once it is confirmed, for the tenants named; `*` is everyone."""
        if verb not in _FORMS:
            raise Http404
        if not self.has_view_permission(request) or not self.has_pause_permission(request):
            raise PermissionDenied
        if request.method != "POST" and not request.GET.getlist("tenant"):
            self.message_user(request, "Select the tenants first.", messages.WARNING)
            return HttpResponseRedirect(self._way_back(request))
        if request.method != "POST":
            return self._ask(request, verb, _named(request, request.GET.getlist("tenant")), _FORMS[verb]())
        form, tenants = _FORMS[verb](request.POST), _named(request, request.POST.getlist("tenant"))
        return self._do(request, verb, tenants, form) if form.is_valid() else self._ask(request, verb, tenants, form)

    def _ask_about(self, request: HttpRequest, verb: str, queryset: QuerySet[TenantPolicy]) -> HttpResponse:
        tenants = list(queryset.order_by("tenant_id").values_list("tenant_id", flat=True)[:MOST_TENANTS])
        return self._ask(request, verb, tenants, _FORMS[verb]())

    def _ask(self, request: HttpRequest, verb: str, tenants: list[str], form: forms.Form) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb.capitalize()} {_who(tenants)}",
            "opts": self.opts,
            "media": self.media,
            "effect": _EFFECTS[verb],
            "tenants": tenants,
            "of_everyone": EVERY_TENANT in tenants,
            "held": pause.holding(tenants, using=self.get_queryset(request).db) if verb == "pause" else (),
            "form": form,
            "submit": verb.capitalize(),
            "action": reverse("admin:outbox_policy_decide", args=[verb]),
            "back": self._way_back(request),
        }
        return TemplateResponse(request, "admin/outbox/tenantpolicy/decide.html", context)

    def _do(self, request: HttpRequest, verb: str, tenants: list[str], form: forms.Form) -> HttpResponse:
        using, by, done = self.get_queryset(request).db, operator(request), []
        held = {each.tenant_id for each in pause.holding(tenants, using=using)}
        # In one order, whoever sends them: two people who lock the same policies would wait for each other.
        for tenant in tenants:
            name = None if tenant == EVERY_TENANT else tenant
            try:
                if _OPERATIONS[verb](tenant_id=name, by=by, using=using, **form.cleaned_data):
                    done.append(tenant)
            except OutboxError as error:
                self.message_user(request, f"{_who([tenant])}: {error}", messages.ERROR)
                break
        else:
            if not done:
                self.message_user(request, f"No pause of {_who(tenants)} holds.", messages.WARNING)
        if done:
            self.message_user(request, _said(verb, done, held=held, of=tenants), messages.SUCCESS)
        return HttpResponseRedirect(self._way_back(request))

    def _way_back(self, request: HttpRequest) -> str:
        """To the list as it was filtered, if its action leads here."""
        here = reverse("admin:outbox_tenantpolicy_changelist")
        return way_back(request, otherwise=request.get_full_path() if request.path == here else here)


def _named(request: HttpRequest, tenants: list[str]) -> list[str]:
    """By name, each once. Raises `Http404` for what can be no tenant, and for those that do not exist for the user."""
    if not 0 < len(tenants) <= MOST_TENANTS:
        raise Http404("Name the tenants.")
    for tenant in tenants:
        if tenant != EVERY_TENANT and (len(tenant) > TENANT_MAX_LENGTH or not _is_tenant(tenant)):
            raise Http404("No tenant has such a name.")
        if not may_see(request, tenant):
            raise Http404("No tenant has such a name.")
    return sorted(set(tenants))


def _who(tenants: list[str]) -> str:
    if EVERY_TENANT in tenants:
        return "everyone"
    return f"tenant {tenants[0]}" if len(tenants) == 1 else f"{len(tenants)} tenants"


def _said(verb: str, done: list[str], *, held: Collection[str], of: Collection[str]) -> str:
    """With the names of those that were paused already, or were not paused."""
    said = f"{verb.capitalize()}d {_who(done)}."
    if verb == "pause" and held:
        return f"{said} Paused already, so that this pause takes the place of another: {_names(held)}."
    left = set(of).difference(done)
    return f"{said} No pause held of: {_names(left)}." if verb == "resume" and left else said


def _names(tenants: Collection[str]) -> str:
    names = ["everyone" if each == EVERY_TENANT else each for each in sorted(tenants)]
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
