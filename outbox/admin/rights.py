"""What of the console a member of staff may see and do: links that lead nowhere are not shown."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from circuits.console import scope
from outbox.models.names import EVERY_TENANT

OVERVIEW = "outbox.view_tenantbacklog"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    overview: bool
    events: bool
    circuits: bool
    steer: bool
    policies: bool
    pause: bool
    relays: bool
    actions: bool
    everyone: bool
    """Whether what concerns all tenants together exists for them."""


def rights(request: HttpRequest) -> Rights:
    may = request.user.has_perm
    everyone = scope.may_see(request, EVERY_TENANT)
    policies = may("outbox.view_tenantpolicy") or may("outbox.change_tenantpolicy")
    return Rights(
        overview=may(OVERVIEW),
        events=may("outbox.view_outboxevent"),
        circuits=may("circuits.view_tenantcircuit") or may("circuits.change_tenantcircuit"),
        steer=may("circuits.steer_tenantcircuit"),
        policies=policies,
        pause=policies and may("outbox.pause_tenantpolicy"),
        relays=everyone and may("outbox.view_outboxrelay"),
        actions=may("outbox.view_operatoraction"),
        everyone=everyone,
    )
