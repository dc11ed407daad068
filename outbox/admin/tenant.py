"""All about one tenant: its state, refreshed as it changes; what staff decided; what went wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from circuits.admin.decisions import DECISIONS, WITHOUT_ROW
from circuits.console import scope
from circuits.console.back import PARAMETER
from circuits.console.lists import ReadOnlyAdmin
from circuits.events import Override
from circuits.operations.listing import CircuitRow
from outbox import conf
from outbox.admin import drawing, live
from outbox.admin.rights import OVERVIEW, Rights, rights
from outbox.console.changes import changes
from outbox.console.thresholds import told
from outbox.models import OperatorAction, Tenant
from outbox.models.names import TENANT_MAX_LENGTH, TENANT_PATTERN
from outbox.operations.overview import PUBLISH
from outbox.operations.series import series
from outbox.operations.tenant_summary import FailureGroup, TenantState, TenantSummary, tenant_state, tenant_summary

_is_tenant = re.compile(TENANT_PATTERN).fullmatch


@admin.register(Tenant)
class TenantAdmin(ReadOnlyAdmin):
    """The page of a tenant. It has no list: the overview leads to it."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(OVERVIEW)

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """None, so that the index does not list it."""
        return {}

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view

        def fetched(view: Any) -> Any:
            return page(live.fragment(view, site=self.admin_site))

        return [
            path("", page(self.find_view), name="outbox_tenant_changelist"),
            path("<str:tenant_id>/", page(self.tenant_view), name="outbox_tenant_change"),
            path("<str:tenant_id>/live/figures/", fetched(self.figures_view), name="outbox_tenant_figures"),
            path("<str:tenant_id>/live/charts/", fetched(self.charts_view), name="outbox_tenant_charts"),
        ]

    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Leads to the tenant that was typed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        tenant_id = request.GET.get("tenant", "").strip()
        if _exists(request, tenant_id):
            return HttpResponseRedirect(live.address(request, "outbox_tenant_change", tenant_id))
        if tenant_id:
            self.message_user(request, f"No tenant is known as {tenant_id[:TENANT_MAX_LENGTH]}.", messages.WARNING)
        return HttpResponseRedirect(live.address(request, "outbox_overview_changelist"))

    def tenant_view(self, request: HttpRequest, tenant_id: str) -> HttpResponse:
        self._check(request, tenant_id)
        span, using = live.span_of(request), conf.get().database
        summary = tenant_summary(tenant_id=tenant_id, span=span, using=using)
        context = {
            **self.admin_site.each_context(request),
            **live.controls(request),
            **_figures(request, summary),
            "title": f"Tenant {tenant_id}",
            "opts": self.opts,
            "summary": summary,
            "failures": [(each, _events_of(tenant_id, each)) for each in summary.failures.groups],
            "actions": [(each, changes(each.before, each.after)) for each in _shown(request, summary.actions)],
            "policy_at": _policy_page(request, summary),
            "charts": drawing.both(summary.points, span=span, now=summary.now),
            "figures_at": live.address(request, "outbox_tenant_figures", tenant_id),
            "charts_at": live.address(request, "outbox_tenant_charts", tenant_id),
        }
        return TemplateResponse(request, "admin/outbox/tenant.html", context)

    def figures_view(self, request: HttpRequest, tenant_id: str) -> HttpResponse:
        self._check(request, tenant_id)
        state = tenant_state(tenant_id=tenant_id, using=conf.get().database)
        return TemplateResponse(request, "admin/outbox/tenant_figures.html", _figures(request, state))

    def charts_view(self, request: HttpRequest, tenant_id: str) -> HttpResponse:
        self._check(request, tenant_id)
        span = live.span_of(request)
        points = series(span=span, tenants=[tenant_id], using=conf.get().database)
        context = {"charts": drawing.both(points, span=span, now=timezone.now())}
        return TemplateResponse(request, "admin/outbox/charts.html", context)

    def _check(self, request: HttpRequest, tenant_id: str) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not _exists(request, tenant_id):
            raise Http404("No tenant is known by this name.")


def _exists(request: HttpRequest, tenant_id: str) -> bool:
    """Whether there can be such a tenant, and whether it exists for the user."""
    possible = len(tenant_id) <= TENANT_MAX_LENGTH and _is_tenant(tenant_id)
    return bool(possible) and scope.may_see(request, tenant_id)


def _figures(request: HttpRequest, state: TenantState) -> dict[str, Any]:
    may = rights(request)
    back = live.address(request, "outbox_tenant_change", state.tenant_id)
    return {
        "tenant": state,
        "span": live.span_of(request),
        "may": may,
        "back": back,
        "circuits": [(each, told(each.policy), _decisions(each, may, back)) for each in state.circuits],
        "has_publish": any(each.name == PUBLISH for each in state.circuits),
        "publish": _by_name(state.tenant_id, PUBLISH, may, back),
    }


def _decisions(circuit: CircuitRow, may: Rights, back: str) -> list[tuple[str, str]]:
    """What staff may decide about it now, and where."""
    if not may.steer:
        return []
    held = circuit.override != Override.AUTO.value
    verbs = ("automatic",) if held else ("force_open", "force_closed", "reset")
    return [
        (
            DECISIONS[verb].title,
            f"{reverse('admin:circuits_tenantcircuit_decide', args=[circuit.id, verb])}?{urlencode({'back': back})}",
        )
        for verb in verbs
    ]


def _by_name(tenant_id: str, name: str, may: Rights, back: str) -> list[tuple[str, str]]:
    """The same about a circuit that has no row yet."""
    query = urlencode({"tenant": tenant_id, "name": name, PARAMETER: back})
    return [
        (DECISIONS[verb].title, f"{reverse('admin:circuits_tenantcircuit_decide_named', args=[verb])}?{query}")
        for verb in (WITHOUT_ROW if may.steer else ())
    ]


def _shown(request: HttpRequest, actions: Iterable[OperatorAction]) -> list[OperatorAction]:
    """What was about other tenants as well does not exist for whoever may not see these."""
    tenants = scope.tenants_of(request)
    return [each for each in actions if tenants is None or tenants.issuperset(each.tenants)]


def _policy_page(request: HttpRequest, summary: TenantSummary) -> str:
    """Where the policy is edited, or made; nothing for whoever may not."""
    back = {PARAMETER: live.address(request, "outbox_tenant_change", summary.tenant_id)}
    if summary.policy.own:
        may, page = "outbox.change_tenantpolicy", reverse("admin:outbox_tenantpolicy_change", args=[summary.tenant_id])
    else:
        may, page = "outbox.add_tenantpolicy", reverse("admin:outbox_tenantpolicy_add")
        back = {"tenant_id": summary.tenant_id, **back}
    return f"{page}?{urlencode(back)}" if request.user.has_perm(may) else ""


def _events_of(tenant_id: str, group: FailureGroup) -> str:
    """The list of the group's events; dead letters first, since they wait for somebody."""
    status = "failed" if group.dead_letters else "scheduled"
    asked = {"tenant": tenant_id, "status__exact": status, "error_class": group.error_class, "topic": group.topic}
    return f"{reverse('admin:outbox_outboxevent_changelist')}?{urlencode(asked)}"
