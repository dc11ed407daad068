"""Which tenants a member of staff may see: all, or those that `StaffTenantScope` names for them."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.models import QuerySet
from django.http import HttpRequest

_REMEMBERED = "_circuits_staff_tenants"


def tenants_of(request: HttpRequest) -> frozenset[str] | None:
    """The tenants that the request's user is limited to; None: not limited. One query a request."""
    if not hasattr(request, _REMEMBERED):
        setattr(request, _REMEMBERED, _read(request.user))
    found: frozenset[str] | None = getattr(request, _REMEMBERED)
    return found


def may_see(request: HttpRequest, tenant_id: str) -> bool:
    """Whether the tenant exists for the request's user. `*`, everyone, does for those who are not limited."""
    tenants = tenants_of(request)
    return tenants is None or tenant_id in tenants


def limited(rows: QuerySet[Any], request: HttpRequest, *, field: str | None) -> QuerySet[Any]:
    """The rows that exist for the request's user; without a field, all or none."""
    tenants = tenants_of(request)
    if tenants is None:
        return rows
    return rows.none() if field is None else rows.filter(**{f"{field}__in": tenants})


def _read(user: Any) -> frozenset[str] | None:
    if user.is_superuser or not user.is_authenticated:
        return None
    scopes = apps.get_model("circuits", "StaffTenantScope")
    tenants = frozenset(scopes._default_manager.filter(user_id=user.pk).values_list("tenant_id", flat=True))
    return tenants or None
