"""Who deleted the history of circuits by hand stands in the record of what operators did."""

from __future__ import annotations

from typing import Any

from circuits.events import Origin
from circuits.signals import history_pruned
from outbox import conf
from outbox.models.names import EVERY_TENANT
from outbox.operations import audit
from outbox.operations.audit import Operator


def listen() -> None:
    """From now on."""
    history_pruned.connect(_record, dispatch_uid="outbox.operations.circuit_history")


def _record(*, by: str, origin: Origin, reason: str, deleted: int, **_: Any) -> None:
    audit.record(
        by=Operator.of(by, origin),
        verb="prune_circuits",
        using=conf.get().database,
        reason=reason,
        tenants=[EVERY_TENANT],
        counts={"moves": deleted},
    )
