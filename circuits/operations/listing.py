"""Circuits as staff see them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Now

from circuits import conf, machine
from circuits.errors import NoSuchCircuit
from circuits.events import Override, Phase
from circuits.models import CircuitTransition, TenantCircuit
from circuits.names import checked_key
from circuits.operations import thresholds
from circuits.policy import Policy

VISIBLE_STATES = (*(each.value for each in Phase), Override.FORCED_OPEN.value, Override.FORCED_CLOSED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitRow:
    """One circuit at one moment. `state` is what a call would meet now."""

    id: int
    tenant_id: str
    name: str
    state: str
    failures: int
    trips: int
    epoch: int
    opened_at: datetime | None
    retry_at: datetime | None
    """When a call may be let through again, if none is now."""
    override: str
    override_by: str
    override_reason: str
    override_until: datetime | None
    thresholds: dict[str, Any]
    """Of its own; None is the default."""
    policy: Policy
    """What holds, defaults included."""


def circuits(
    *,
    tenant_id: str | None = None,
    tenants: Collection[str] | None = None,
    name: str | None = None,
    state: str | None = None,
    limit: int | None,
    now: datetime | None = None,
) -> list[CircuitRow]:
    """By tenant and name. Circuits that never failed and for which staff decided nothing are in no list.

    `tenants`: these and no others. `limit`: None for all. `now`: the database's clock, if it is known already.
    """
    rows: QuerySet[TenantCircuit] = TenantCircuit.objects.using(conf.get().database).order_by("tenant_id", "name")
    if tenant_id is not None:
        rows = rows.filter(tenant_id=tenant_id)
    if tenants is not None:
        rows = rows.filter(tenant_id__in=tenants)
    if name is not None:
        rows = rows.filter(name=name)
    if state is not None:
        rows = in_state(rows, state)
    now = now or database_now()
    return [_row(each, now) for each in rows[:limit]]


def show(*, tenant_id: str, name: str) -> CircuitRow:
    """One circuit. Raises `NoSuchCircuit` and `InvalidName`."""
    checked_key(tenant_id, name)
    found = circuits(tenant_id=tenant_id, name=name, limit=1)
    if not found:
        raise NoSuchCircuit(tenant_id, name)
    return found[0]


def history(*, tenant_id: str, name: str, limit: int) -> list[CircuitTransition]:
    """What moved it, the newest first."""
    changes = CircuitTransition.objects.using(conf.get().database).filter(tenant_id=tenant_id, name=name)
    return list(changes.order_by("-id")[:limit])


def visible_state() -> Case:
    """The state that a call would meet now, as the view `circuits_now` has it."""
    forced = ~Q(override=Override.AUTO.value) & (Q(override_until__isnull=True) | Q(override_until__gt=Now()))
    due = Q(state=Phase.OPEN.value, open_until__lte=Now())
    return Case(When(forced, then=F("override")), When(due, then=Value(Phase.HALF_OPEN.value)), default=F("state"))


def in_state(rows: QuerySet[TenantCircuit], state: str) -> QuerySet[TenantCircuit]:
    """Those in that visible state, by the index of trouble unless it is `closed`."""
    found = rows.alias(visible_now=visible_state()).filter(visible_now=state)
    if state != Phase.CLOSED.value:
        found = found.filter(~Q(state=Phase.CLOSED.value) | ~Q(override=Override.AUTO.value))
    return found


def database_now() -> datetime:
    """The clock that circuits go by."""
    with connections[conf.get().database].cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


def _row(circuit: TenantCircuit, now: datetime) -> CircuitRow:
    state, own = circuit.as_state(), thresholds.own(circuit)
    policy = conf.policy().with_changes(own)
    visible = machine.visible(state, now=now)
    return CircuitRow(
        id=circuit.id,
        tenant_id=circuit.tenant_id,
        name=circuit.name,
        state=visible,
        failures=machine.failures_in_a_row(state, policy, now=now),
        trips=state.trips,
        epoch=state.epoch,
        opened_at=state.opened_at,
        retry_at=_retry_at(circuit, visible),
        override=circuit.override,
        override_by=circuit.override_by,
        override_reason=circuit.override_reason,
        override_until=circuit.override_until,
        thresholds=own,
        policy=policy,
    )


def _retry_at(circuit: TenantCircuit, visible: str) -> datetime | None:
    match visible:
        case Phase.OPEN.value:
            return circuit.open_until
        case Phase.HALF_OPEN.value:
            return circuit.probe_until
        case Override.FORCED_OPEN.value:
            return circuit.override_until
    return None
