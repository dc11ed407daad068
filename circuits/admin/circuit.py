from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from circuits.admin.confirming import ConfirmedForms
from circuits.admin.decisions import DECISIONS, STEER, WITHOUT_ROW, Decision
from circuits.admin.forms import CircuitForm, ThresholdForm
from circuits.admin.list_edits import EFFECT, ListEditPages
from circuits.console.back import way_back
from circuits.console.badges import badge
from circuits.console.client import origin
from circuits.console.limits import done_for_good
from circuits.console.lists import BoundedAdmin
from circuits.console.scope import may_see
from circuits.errors import CircuitError, InvalidName
from circuits.models import TenantCircuit
from circuits.names import checked_key
from circuits.operations import listing, thresholds
from circuits.policy import THRESHOLDS

MOST_AT_ONCE = 500
"""Circuits that one decision may be about: a form has room for not many more."""
_HISTORY = 50
_EDITED_IN_LIST = ("failure_threshold", "reset_interval", "max_reset_interval", "half_open_probes")
_LIVE = (
    "failures",
    "last_failure_at",
    "trips",
    "opened_at",
    "open_until",
    "probe_until",
    "probe_successes",
    "closed_at",
    "epoch",
)
_OVERRIDE = ("override", "override_by", "override_reason", "override_until")


class StateFilter(admin.SimpleListFilter):
    """By the state that a call would meet now."""

    title = "state"
    parameter_name = "visible_state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state.replace("_", " ")) for state in listing.VISIBLE_STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[TenantCircuit]) -> QuerySet[TenantCircuit]:
        state = self.value()
        return listing.in_state(queryset, state) if state in listing.VISIBLE_STATES else queryset


@admin.register(TenantCircuit)
class CircuitAdmin(ListEditPages, ConfirmedForms, BoundedAdmin):
    """Circuits by tenant: their state, their thresholds, and what moved them. Processes follow within a second."""

    form = CircuitForm
    effect = EFFECT
    list_display = (
        "tenant_id",
        "name",
        "current_state",
        "failures",
        "trips",
        "open_until",
        *_EDITED_IN_LIST,
        "override_by",
        "override_until",
    )
    list_display_links = ("tenant_id",)
    not_counted = ("epoch",)
    list_editable = _EDITED_IN_LIST
    list_filter = (StateFilter,)
    list_per_page = 50
    ordering = ("tenant_id", "name")
    sortable_by = ("tenant_id",)
    search_fields = ("tenant_id",)
    search_help_text = "The beginning of a tenant's name, the name of a circuit, or both: acme publish."
    actions = tuple(DECISIONS)
    fieldsets = (
        (None, {"fields": ("tenant_id", "name", "current_state")}),
        (
            "Thresholds",
            {"fields": (*THRESHOLDS, "reason"), "description": "Times are in seconds. Empty: the default, in grey."},
        ),
        ("State", {"fields": _LIVE}),
        ("Held by staff", {"fields": _OVERRIDE}),
    )

    @admin.display(description="state")
    def current_state(self, circuit: TenantCircuit) -> str:
        """What a call would meet now."""
        return badge(str(getattr(circuit, "visible", circuit.state)))

    def get_queryset(self, request: HttpRequest) -> QuerySet[TenantCircuit]:
        rows: QuerySet[TenantCircuit] = super().get_queryset(request)
        return rows.annotate(visible=listing.visible_state())

    def get_fieldsets(self, request: HttpRequest, obj: TenantCircuit | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj else [(None, {"fields": ("tenant_id", "name")}), fieldsets[1]]

    def get_readonly_fields(self, request: HttpRequest, obj: TenantCircuit | None = None) -> tuple[str, ...]:
        return ("current_state", *_LIVE, *_OVERRIDE, *(("tenant_id", "name") if obj else ()))

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> type[ThresholdForm]:
        return ThresholdForm

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Deleting an open circuit would close it without a trace."""
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[TenantCircuit], search_term: str
    ) -> tuple[QuerySet[TenantCircuit], bool]:
        words = search_term.split()
        if len(words) == 1:
            queryset = queryset.filter(Q(tenant_id__startswith=words[0]) | Q(name=words[0]))
        elif words:
            queryset = queryset.filter(tenant_id__startswith=words[0], name=words[1])
        return queryset, False

    def save_model(self, request: HttpRequest, obj: TenantCircuit, form: Any, change: bool) -> None:
        """Writes the thresholds that were changed, and nothing of what circuits write themselves meanwhile."""
        after = {name: getattr(obj, name) for name in form.changed_data if name in THRESHOLDS}
        # Of edits in the list it stands on the page that asked.
        reason = form.cleaned_data.get("reason") or request.POST["reason"].strip()
        using = obj._state.db or TenantCircuit.objects.db
        with transaction.atomic(using=using):
            if not change:
                obj.save(using=using)
                before = dict.fromkeys(THRESHOLDS)
            else:
                before = thresholds.own(TenantCircuit.objects.using(using).select_for_update().get(pk=obj.pk))
            by = request.user.get_username()
            thresholds.save(obj, after, by=by, reason=reason, before=before, origin=origin(request))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        circuit = self.get_object(request, object_id)
        found = listing.history(tenant_id=circuit.tenant_id, name=circuit.name, limit=_HISTORY)
        extra = {
            "transitions": found,
            "decisions": [each for each in DECISIONS.values() if self._may_on_page(request, each)],
        }
        return super().change_view(request, object_id, form_url, {**extra, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        decide = path(
            "<int:circuit_id>/decide/<str:verb>/",
            self.admin_site.admin_view(self.decide_view),
            name="circuits_tenantcircuit_decide",
        )
        named = path(
            "decide/<str:verb>/",
            self.admin_site.admin_view(self.decide_named_view),
            name="circuits_tenantcircuit_decide_named",
        )
        return [decide, named, *super().get_urls()]

    def decide_view(self, request: HttpRequest, circuit_id: int, verb: str) -> HttpResponse:
        """Asks, and does it, for one circuit."""
        circuit = self.get_queryset(request).filter(pk=circuit_id).first()
        if circuit is None or verb not in DECISIONS:
            raise Http404
        if not self.has_view_permission(request, circuit) or not request.user.has_perm(DECISIONS[verb].permission):
            raise PermissionDenied
        form = DECISIONS[verb].form(request.POST if request.method == "POST" else None)
        if form.is_valid():
            self._do(request, DECISIONS[verb], [circuit], form)
            return HttpResponseRedirect(self._way_back(request, circuit))
        return self._ask(request, DECISIONS[verb], [circuit], form, in_list=False)

    def decide_named_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """The same for the circuit of a tenant by its name: one that never failed has no row yet, nor a page."""
        if verb not in WITHOUT_ROW:
            raise Http404
        if not self.has_view_permission(request) or not request.user.has_perm(DECISIONS[verb].permission):
            raise PermissionDenied
        circuit = self._named(request)
        form = DECISIONS[verb].form(request.POST if request.method == "POST" else None)
        if form.is_valid():
            self._do(request, DECISIONS[verb], [circuit], form)
            return HttpResponseRedirect(self._way_back(request, circuit))
        return self._ask(request, DECISIONS[verb], [circuit], form, in_list=False)

    def _named(self, request: HttpRequest) -> TenantCircuit:
        """Raises `Http404` for what can be no circuit, and for tenants that do not exist for the user."""
        try:
            tenant_id, name = checked_key(request.GET.get("tenant", ""), request.GET.get("name", "").strip())
        except InvalidName as error:
            raise Http404("No circuit has such a name.") from error
        if not may_see(request, tenant_id):
            raise Http404("No circuit has such a name.")
        found = self.get_queryset(request).filter(tenant_id=tenant_id, name=name).first()
        return found or TenantCircuit(tenant_id=tenant_id, name=name)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(STEER)

    def _may_on_page(self, request: HttpRequest, decision: Decision) -> bool:
        """Thresholds have a form of their own there."""
        return decision.verb != "set_thresholds" and request.user.has_perm(decision.permission)

    def _way_back(self, request: HttpRequest, circuit: TenantCircuit) -> str:
        if not circuit.pk:
            return way_back(request, otherwise=reverse("admin:circuits_tenantcircuit_changelist"))
        return way_back(request, otherwise=reverse("admin:circuits_tenantcircuit_change", args=[circuit.pk]))

    @admin.action(permissions=["steer"], description="Force open ...")
    def force_open(self, request: HttpRequest, queryset: QuerySet[TenantCircuit]) -> HttpResponse | None:
        return self._decide(request, DECISIONS["force_open"], queryset)

    @admin.action(permissions=["steer"], description="Force closed ...")
    def force_closed(self, request: HttpRequest, queryset: QuerySet[TenantCircuit]) -> HttpResponse | None:
        return self._decide(request, DECISIONS["force_closed"], queryset)

    @admin.action(permissions=["steer"], description="Back to automatic ...")
    def automatic(self, request: HttpRequest, queryset: QuerySet[TenantCircuit]) -> HttpResponse | None:
        return self._decide(request, DECISIONS["automatic"], queryset)

    @admin.action(permissions=["steer"], description="Reset ...")
    def reset(self, request: HttpRequest, queryset: QuerySet[TenantCircuit]) -> HttpResponse | None:
        return self._decide(request, DECISIONS["reset"], queryset)

    @admin.action(permissions=["change"], description="Set thresholds ...")
    def set_thresholds(self, request: HttpRequest, queryset: QuerySet[TenantCircuit]) -> HttpResponse | None:
        return self._decide(request, DECISIONS["set_thresholds"], queryset)

    def _decide(
        self, request: HttpRequest, decision: Decision, queryset: QuerySet[TenantCircuit]
    ) -> HttpResponse | None:
        """Asks, and does it, for the circuits that were selected in the list."""
        circuits = list(queryset[: MOST_AT_ONCE + 1])
        if len(circuits) > MOST_AT_ONCE:
            self.message_user(request, f"Select at most {MOST_AT_ONCE} circuits at once.", messages.ERROR)
            return None
        form = decision.form(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            self._do(request, decision, circuits, form)
            return None
        return self._ask(request, decision, circuits, form, in_list=True)

    def _ask(
        self, request: HttpRequest, decision: Decision, circuits: list[TenantCircuit], form: Any, *, in_list: bool
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": decision.title,
            "opts": self.opts,
            "media": self.media,
            "decision": decision,
            "circuits": circuits,
            "form": form,
            "in_list": in_list,
            "submit": decision.title,
            "back": request.get_full_path() if in_list else self._way_back(request, circuits[0]),
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/circuits/tenantcircuit/decide.html", context)

    def _do(self, request: HttpRequest, decision: Decision, circuits: list[TenantCircuit], form: Any) -> None:
        done = 0
        for circuit in circuits:
            try:
                who = {"by": request.user.get_username(), "origin": origin(request)}
                decision.do(tenant_id=circuit.tenant_id, name=circuit.name, **who, **decision.options(form))
            except CircuitError as error:
                self.message_user(request, f"Circuit {circuit}: {error}", messages.ERROR)
                continue
            done += 1
            if decision.at_once:
                done_for_good(request, f"{decision.done}: {circuit}")
            # One that had no row has one now.
            row = circuit if circuit.pk else self._named(request)
            if row.pk:
                self.log_change(request, row, f"{decision.done}: {form.cleaned_data['reason']}")
        if done:
            text = f"{decision.done}: {done} circuit{'' if done == 1 else 's'}."
            self.message_user(request, text, messages.SUCCESS)
