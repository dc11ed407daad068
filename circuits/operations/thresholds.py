"""Staff decide when a tenant's circuit opens and closes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from circuits import conf, policy
from circuits.errors import InvalidThreshold
from circuits.events import Origin, Why
from circuits.models import CircuitTransition, TenantCircuit
from circuits.names import checked_key
from circuits.operations.steering import HERE, checked_reason
from circuits.policy import BOUNDS, THRESHOLDS, WHOLE_NUMBERS, Mode


def configure(
    *, tenant_id: str, name: str, by: str, reason: str, changes: Mapping[str, Any], origin: Origin = HERE
) -> TenantCircuit:
    """Set thresholds of one circuit; None goes back to the default. Processes follow within a second.

    `changes`: by the names of `TenantCircuit`, such as `failure_threshold` and `reset_interval` (seconds).

    In the caller's transaction, if there is one. Raises `InvalidThreshold`, `ReasonMissing` and `InvalidName`; then
    nothing was changed.
    """
    key = checked_key(tenant_id, name)
    reason = checked_reason(reason)
    given = {field: _checked(field, value) for field, value in changes.items()}
    circuits = TenantCircuit.objects.using(conf.get().database)
    with transaction.atomic(using=circuits.db):
        circuits.get_or_create(tenant_id=key[0], name=key[1])
        circuit = circuits.select_for_update().get(tenant_id=key[0], name=key[1])
        before = own(circuit)
        policy.check(conf.policy(), {**before, **given})
        save(circuit, given, by=by, reason=reason, before=before, origin=origin)
    return circuit


def check(*, tenant_id: str, name: str, changes: Mapping[str, Any]) -> None:
    """Whether `configure` would take them; raises what it raises."""
    key = checked_key(tenant_id, name)
    given = {field: _checked(field, value) for field, value in changes.items()}
    found = TenantCircuit.objects.using(conf.get().database).filter(tenant_id=key[0], name=key[1]).first()
    policy.check(conf.policy(), {**(own(found) if found else {}), **given})


def save(
    circuit: TenantCircuit,
    after: Mapping[str, Any],
    *,
    by: str,
    reason: str,
    before: Mapping[str, Any],
    origin: Origin = HERE,
) -> None:
    """Write thresholds that have been checked, and tell the history what has changed. Nothing else is written."""
    changed = [field for field, value in after.items() if value != before[field]]
    if not changed:
        return
    for field in changed:
        setattr(circuit, field, after[field])
    circuit.save(update_fields=changed)
    told = ", ".join(f"{field} {_said(before[field])} -> {_said(after[field])}" for field in changed)
    CircuitTransition.objects.using(circuit._state.db).create(
        tenant_id=circuit.tenant_id,
        name=circuit.name,
        from_state=circuit.state,
        to_state=circuit.state,
        why=Why.THRESHOLDS.value,
        decision="set_thresholds",
        changes={field: [before[field], after[field]] for field in changed},
        source=origin.source,
        address=origin.address,
        by=by[:150],
        reason=f"{reason} ({told})" if reason else told,
        epoch=circuit.epoch,
        failures=circuit.failures,
    )


def own(circuit: TenantCircuit) -> dict[str, Any]:
    """The thresholds that the circuit has a value of its own for, None for the others."""
    return {field: getattr(circuit, field) for field in THRESHOLDS}


def _checked(field: str, value: Any) -> Any:
    """The value as the column takes it. Raises `InvalidThreshold`."""
    if field not in THRESHOLDS:
        raise InvalidThreshold(field, value, f"no such threshold; known are {', '.join(THRESHOLDS)}")
    if value is None:
        return None
    if field == "mode":
        if value not in list(Mode):
            raise InvalidThreshold(field, value, f"must be {' or '.join(Mode)}")
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidThreshold(field, value, "must be a number")
    if problem := BOUNDS[field].problem(value):
        raise InvalidThreshold(field, value, problem)
    if field in WHOLE_NUMBERS and value != int(value):
        raise InvalidThreshold(field, value, "must be a whole number")
    return int(value) if field in WHOLE_NUMBERS else float(value)


def _said(value: Any) -> str:
    return "default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
