"""The memory's circuits as people ask for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

from circuits import conf, machine
from circuits.errors import NoSuchCircuit, StoreUnavailable
from circuits.events import Acquire, CircuitState, Override, Phase, Refused
from circuits.models import TenantCircuit
from circuits.operations import listing, steering, thresholds
from circuits.policy import Policy
from circuits.process import process
from somabrain.memory.names import CIRCUIT

_BY = "MemoryService"


class CircuitStatus(TypedDict):
    """A tenant's circuit at one moment, by the database's clock."""

    tenant: str
    state: str
    """`closed`, `open`, `half_open`, `forced_open` or `forced_closed`."""
    circuit_open: bool
    """Whether calls are refused, but for a probe."""
    failure_count: int
    """Failures in a row that still count."""
    last_failure_time: float
    """Seconds since 1970; 0.0: none that counts."""
    retry_after: float
    """Seconds until a call may be let through; 0.0: one is now."""
    failure_threshold: int
    reset_interval: float
    """Seconds."""


def of_tenant(tenant_id: str) -> CircuitStatus:
    """Asks the database, and answers what this process knows if that is out. Changes nothing."""
    key = (tenant_id, CIRCUIT)
    try:
        reading = process.read(key)
    except StoreUnavailable:
        view = process.view(key)
        return _status(tenant_id, view.state, view.policy, view.now())
    return _status(tenant_id, reading.state, reading.policy, reading.now)


def of_all() -> dict[str, CircuitStatus]:
    """Of all tenants that ever had a failure, or thresholds of their own."""
    now, defaults = listing.database_now(), conf.policy()
    circuits = TenantCircuit.objects.using(conf.get().database).filter(name=CIRCUIT).order_by("tenant_id")
    return {
        each.tenant_id: _status(each.tenant_id, each.as_state(), defaults.with_changes(thresholds.own(each)), now)
        for each in circuits.iterator()
    }


def configure(tenant_id: str, *, failure_threshold: int | None, reset_interval: float | None) -> None:
    """None leaves a value as it is. A reset interval above the longest one moves that too.

    Raises `InvalidThreshold`, and `StoreUnavailable` if the database does not answer.
    """
    changes: dict[str, Any] = {}
    if failure_threshold is not None:
        changes["failure_threshold"] = failure_threshold
    if reset_interval is not None:
        changes["reset_interval"] = reset_interval
        longest = process.read((tenant_id, CIRCUIT)).policy.max_reset_interval
        if _is_number(reset_interval) and reset_interval > longest:
            changes["max_reset_interval"] = reset_interval
    if changes:
        thresholds.configure(tenant_id=tenant_id, name=CIRCUIT, by=_BY, reason="configured in code", changes=changes)


def reset(tenant_id: str) -> None:
    """Closed, and all failures forgotten. A circuit that never failed is left alone. Raises `StoreUnavailable`."""
    try:
        steering.reset(tenant_id=tenant_id, name=CIRCUIT, by=_BY, reason="reset in code")
    except NoSuchCircuit:
        return


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _status(tenant_id: str, state: CircuitState, policy: Policy, now: datetime) -> CircuitStatus:
    failures = machine.failures_in_a_row(state, policy, now=now)
    visible = machine.visible(state, now=now)
    return CircuitStatus(
        tenant=tenant_id,
        state=visible,
        circuit_open=visible in (Phase.OPEN.value, Phase.HALF_OPEN.value, Override.FORCED_OPEN.value),
        failure_count=failures,
        last_failure_time=state.last_failure_at.timestamp() if failures and state.last_failure_at else 0.0,
        retry_after=_retry_after(state, policy, now),
        failure_threshold=policy.failure_threshold,
        reset_interval=policy.reset_interval,
    )


def _retry_after(state: CircuitState, policy: Policy, now: datetime) -> float:
    _, effects = machine.step(state, policy, Acquire(), now=now, chance=0)
    return next((each.retry_after for each in effects if isinstance(each, Refused)), 0.0)
