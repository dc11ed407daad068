"""Who is limited to which tenants stands in the record of what operators did."""

from __future__ import annotations

from typing import Any

from circuits.events import Origin
from circuits.signals import staff_limited
from outbox import conf
from outbox.models.names import EVERY_TENANT
from outbox.operations import audit
from outbox.operations.audit import Operator


def listen() -> None:
    """From now on; in the transaction of the change where users are in the outbox's database."""
    staff_limited.connect(_record, dispatch_uid="outbox.operations.scopes")


def _record(
    *,
    verb: str,
    by: str,
    origin: Origin,
    reason: str,
    limited: str,
    before: list[str],
    after: list[str],
    **_: Any,
) -> None:
    audit.record(
        by=Operator.of(by, origin),
        verb=verb,
        using=conf.get().database,
        reason=reason,
        # Found by tenant, but for nobody who is limited themselves: it names other tenants too.
        tenants={EVERY_TENANT, *before, *after},
        filter={"user": limited},
        before={"tenants": before},
        after={"tenants": after},
    )
