"""All tenants at a glance, on a page of its own and on the admin's index."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from circuits.console import scope
from circuits.console.lists import ReadOnlyAdmin
from outbox import conf
from outbox.admin import drawing, live
from outbox.admin.rights import OVERVIEW, rights
from outbox.console import charts
from outbox.models import Overview
from outbox.operations.overview import TenantRow, overview
from outbox.operations.series import series

MOST_TENANTS, FEW_TENANTS = 50, 10
OLD = timedelta(seconds=30)
"""Figures that are older are not to be trusted."""


@admin.register(Overview)
class OverviewAdmin(ReadOnlyAdmin):
    """Figures, charts and the tenants that are worst off."""

    tenant_field = None

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(OVERVIEW)

    def get_urls(self) -> list[URLPattern]:
        def fetched(view: Any) -> Any:
            return self.admin_site.admin_view(live.fragment(view, site=self.admin_site))

        return [
            path("live/figures/", fetched(self.figures_view), name="outbox_overview_figures"),
            path("live/charts/", fetched(self.charts_view), name="outbox_overview_charts"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Overview",
            "opts": self.opts,
            **panel(request),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/outbox/overview.html", context)

    def figures_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return TemplateResponse(request, "admin/outbox/overview_figures.html", figures(request))

    def charts_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return TemplateResponse(request, "admin/outbox/charts.html", drawn(request))


def panel(request: HttpRequest, *, brief: bool = False) -> dict[str, Any]:
    """What `overview_panel.html` shows. `brief`: few tenants, below the admin's index."""
    query = {"brief": "1"} if brief else {}
    return {
        **live.controls(request),
        **figures(request, brief=brief),
        **drawn(request),
        "figures_at": live.address(request, "outbox_overview_figures", **query),
        "charts_at": live.address(request, "outbox_overview_charts"),
    }


def figures(request: HttpRequest, *, brief: bool | None = None) -> dict[str, Any]:
    """The tiles and the tenants that are worst off."""
    brief = "brief" in request.GET if brief is None else brief
    found = overview(
        tenants=scope.tenants_of(request), span=live.span_of(request), most=FEW_TENANTS if brief else MOST_TENANTS
    )
    return {
        "overview": found,
        "stale": found.age is None or found.age > OLD,
        "span": live.span_of(request),
        "alive": sum(relay.alive for relay in found.relays),
        "rows": [(row, _spark(row)) for row in found.tenants],
        "brief": brief,
        "may": rights(request),
        "back": live.address(request, "index" if brief else "outbox_overview_changelist"),
    }


def drawn(request: HttpRequest) -> dict[str, Any]:
    """The charts."""
    span = live.span_of(request)
    points = series(span=span, tenants=scope.tenants_of(request), using=conf.get().database)
    return {"charts": drawing.both(points, span=span, now=timezone.now())}


def _spark(row: TenantRow) -> charts.Spark:
    """Without the last step, which is going on."""
    return charts.spark(row.spark[:-1], what="sent")
