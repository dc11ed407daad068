"""Pauses of a tenant, or of everyone: who paused, why, and until when. Relays follow within a second."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from outbox import conf
from outbox.errors import OutboxError
from outbox.models import OutboxEvent, OutboxLane, TenantPolicy
from outbox.models.names import EVERY_TENANT
from outbox.operations import audit
from outbox.operations.audit import Operator
from outbox.operations.listing import database_now

MOST_SHOWN = 1_000
HOLDING = Q(Q(paused_until__isnull=True) | Q(paused_until__gt=Now()), paused=True)
"""Policies whose pause is not over."""


class InvalidPause(OutboxError):
    """There is nothing to pause or resume like this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A pause that holds."""

    tenant_id: str
    """`*` when everyone is paused."""
    by: str
    reason: str
    until: datetime | None

    @property
    def of_everyone(self) -> bool:
        return self.tenant_id == EVERY_TENANT


def pause(
    *, tenant_id: str | None, reason: str, by: Operator, until: datetime | None = None, using: str | None = None
) -> Pause:
    """Nothing of the tenant is published from now on, or nothing at all without one, until somebody resumes it.

    What is under way comes to its end, and enqueueing goes on. A pause that holds already is replaced. Raises
    `InvalidPause` for an end that is over, and `NoReason`.
    """
    alias, reason = using or conf.get().database, audit.checked_reason(reason)
    if until is not None and until <= database_now(using=alias):
        raise InvalidPause(f"until {until.isoformat()}: that is over already, so nothing would be paused")
    values = {"paused": True, "paused_by": by.name[:150], "paused_reason": reason, "paused_until": until}
    with transaction.atomic(using=alias):
        policy = _locked(tenant_id or EVERY_TENANT, alias)
        _write(policy, values, verb="pause", by=by, reason=reason)
    return Pause(tenant_id=policy.tenant_id, by=policy.paused_by, reason=reason, until=until)


def resume(*, tenant_id: str | None, reason: str = "", by: Operator, using: str | None = None) -> bool:
    """The tenant, or everyone without one, is published again. False if there was no pause that held.

    A tenant that is paused stays so when everyone is resumed. Raises `NoReason` for a reason that is too long.
    """
    alias, reason = using or conf.get().database, audit.optional_reason(reason)
    values = {"paused": False, "paused_by": "", "paused_reason": "", "paused_until": None}
    with transaction.atomic(using=alias):
        policies = TenantPolicy.objects.using(alias).select_for_update()
        policy = policies.filter(pk=tenant_id or EVERY_TENANT, paused=True).first()
        if policy is None:
            return False
        held = holds(policy, now=database_now(using=alias))
        _write(policy, values, verb="resume", by=by, reason=reason)
    return held


def pauses(*, using: str | None = None) -> tuple[Pause, ...]:
    """All that hold, that of everyone first; at most `MOST_SHOWN`."""
    policies = TenantPolicy.objects.using(using or conf.get().database)
    return tuple(sorted(_read(policies.filter(HOLDING)), key=lambda each: not each.of_everyone))


def holds(policy: TenantPolicy, *, now: datetime) -> bool:
    """Whether the policy pauses at that time."""
    return policy.paused and (policy.paused_until is None or policy.paused_until > now)


def holding(tenants: Collection[str], *, using: str | None = None) -> tuple[Pause, ...]:
    """The pauses that hold of those named, by name; `*` names that of everyone."""
    policies = TenantPolicy.objects.using(using or conf.get().database)
    return _read(policies.filter(HOLDING, pk__in=tenants))


def is_known(tenant_id: str, *, using: str | None = None) -> bool:
    """Whether the tenant has an event, a lane or a policy: a name that has none may be misspelt."""
    alias = using or conf.get().database
    return (
        TenantPolicy.objects.using(alias).filter(pk=tenant_id).exists()
        or OutboxLane.objects.using(alias).filter(pk=tenant_id).exists()
        or OutboxEvent.objects.using(alias).filter(tenant_id=tenant_id).exists()
    )


def _read(policies: QuerySet[TenantPolicy]) -> tuple[Pause, ...]:
    found = policies.order_by("tenant_id").values_list("tenant_id", "paused_by", "paused_reason", "paused_until")
    return tuple(Pause(tenant_id=row[0], by=row[1], reason=row[2], until=row[3]) for row in found[:MOST_SHOWN])


def _locked(tenant_id: str, alias: str) -> TenantPolicy:
    policies = TenantPolicy.objects.using(alias)
    policies.bulk_create([TenantPolicy(tenant_id=tenant_id)], ignore_conflicts=True)
    return policies.select_for_update().get(pk=tenant_id)


def _write(policy: TenantPolicy, values: dict[str, Any], *, verb: str, by: Operator, reason: str) -> None:
    alias = policy._state.db or conf.get().database
    before = audit.values_of(policy, values)
    for name, value in values.items():
        setattr(policy, name, value)
    policy.save(using=alias, update_fields=[*values, "updated_at"])
    audit.record(
        by=by,
        verb=verb,
        using=alias,
        reason=reason,
        filter={"tenant": policy.tenant_id},
        before=before,
        after=audit.values_of(policy, values),
    )
