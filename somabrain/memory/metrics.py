"""The memory's metrics. None of these functions ever fails: figures are no reason to lose a call."""

from __future__ import annotations

import logging
import threading
import time

from prometheus_client import Counter, Gauge

from circuits.collector import STATE_VALUES
from circuits.operations import listing
from somabrain.memory import queue
from somabrain.memory.names import CIRCUIT, checked_tenant, tenant_of
from somabrain.memory.trouble import Trouble

logger = logging.getLogger(__name__)

CIRCUIT_STATE = Gauge(
    "memory_circuit_state",
    "The memory's circuit of a tenant: 0 closed, 0.5 half-open, 1 open; forced states like the others.",
    ["tenant_id"],
    multiprocess_mode="mostrecent",
)
OUTBOX_PENDING = Gauge(
    "memory_outbox_pending",
    "Writes of a tenant that were queued and are not yet applied.",
    ["tenant_id"],
    multiprocess_mode="mostrecent",
)
REMEMBERED = Counter("memory_remembered", "Writes, by what became of them: stored, queued or rejected.", ["outcome"])
REPLAYED = Counter(
    "memory_replayed",
    "Messages with queued writes: applied, rejected, or skipped with nothing left to do.",
    ["outcome"],
)

LABELLED_TENANTS = 200
"""So many tenants whose circuit is closed, or whose queue is longest, get a line of their own by themselves."""
CACHE_SECONDS = 10.0

_NOT_CLOSED = tuple(state for state, value in STATE_VALUES.items() if value)

_trouble = Trouble(logger, "The memory's metrics are not up to date")
_states: dict[str, float] = {}
_pending: dict[str, int] = {}
_refreshing = threading.Lock()
_refreshed_at = float("-inf")


def report_circuit(tenant_id: str, state: str) -> None:
    """As a process knows it after a call."""
    value = STATE_VALUES[state]
    if _states.get(tenant_id) == value:
        return
    with _trouble.contained():
        if value or tenant_id in _states or len(_states) < LABELLED_TENANTS:
            CIRCUIT_STATE.labels(tenant_id=tenant_id).set(value)
            _states[tenant_id] = value


def report_pending(tenant: str | None = None, count: int | None = None) -> None:
    """Set the count of a tenant, or find it in the database; without a tenant, of all of them."""
    with _trouble.contained():
        if tenant is None:
            _report_all_pending()
        else:
            tenant_id = checked_tenant(tenant_of(tenant))
            _set_pending(tenant_id, queue.count(tenant_id) if count is None else count)


def count_remembered(outcome: str) -> None:
    with _trouble.contained():
        REMEMBERED.labels(outcome).inc()


def count_replayed(outcome: str, number: int = 1) -> None:
    with _trouble.contained():
        REPLAYED.labels(outcome).inc(number)


def refresh() -> None:
    """All of it from the database, for a scrape; no more often than every `CACHE_SECONDS`."""
    global _refreshed_at
    with _refreshing:
        if time.monotonic() - _refreshed_at < CACHE_SECONDS:
            return
        _refreshed_at = time.monotonic()
        with _trouble.contained():
            _report_all_pending()
            _report_all_circuits()


def _report_all_pending() -> None:
    """Whoever has a line keeps it, and is asked for by name where the list ends before them: 0 means that none wait."""
    longest = queue.counts(limit=LABELLED_TENANTS)
    others = _pending.keys() - longest.keys()
    rest = queue.counts(tenants=others) if len(longest) == LABELLED_TENANTS else {}
    for tenant_id, count in {**dict.fromkeys(others, 0), **rest, **longest}.items():
        _set_pending(tenant_id, count)


def _set_pending(tenant_id: str, count: int) -> None:
    OUTBOX_PENDING.labels(tenant_id=tenant_id).set(count)
    _pending[tenant_id] = count


def _report_all_circuits() -> None:
    """A circuit that is neither used nor reported moves all the same, by time and by other processes."""
    lists = [listing.circuits(name=CIRCUIT, state=state, limit=LABELLED_TENANTS) for state in _NOT_CLOSED]
    found = {row.tenant_id: STATE_VALUES[row.state] for rows in lists for row in rows}
    others = _states.keys() - found.keys()
    rest = {}
    if others and any(len(rows) == LABELLED_TENANTS for rows in lists):
        named = listing.circuits(name=CIRCUIT, tenants=others, limit=None)
        rest = {row.tenant_id: STATE_VALUES[row.state] for row in named}
    for tenant_id, value in {**dict.fromkeys(others, 0.0), **rest, **found}.items():
        CIRCUIT_STATE.labels(tenant_id=tenant_id).set(value)
        _states[tenant_id] = value
