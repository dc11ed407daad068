"""What waits to be published, read without changing anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections

from outbox import conf, sql
from outbox.models import OutboxEvent

_COLUMNS = (
    "id",
    "tenant_id",
    "topic",
    "partition_key",
    "dedupe_key",
    "payload",
    "headers",
    "attempts",
    "created_at",
)


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that is due and not yet acknowledged by the broker. It may be on its way there."""

    event_id: int
    tenant_id: str
    topic: str
    partition_key: str
    dedupe_key: str
    payload: Any
    headers: dict[str, str]
    attempts: int
    created_at: datetime


def get_pending_events(
    *, limit: int = 100, tenant_id: str | None = None, using: str | None = None
) -> tuple[PendingEvent, ...]:
    """The oldest pending events, of one tenant or of all, in the order of their creation.

    Costs no more with a longer backlog: for one tenant a look into the index, for all of them such a look for each
    tenant with work and at most `limit` index entries for each of the `limit` tenants that wait longest.
    Raises `ValueError` for a limit below 1.
    """
    _check_limit("limit", limit)
    alias = using or conf.get().database
    if tenant_id is None:
        return _fetch("pending_oldest", {"limit": limit}, alias)
    events = OutboxEvent.objects.using(alias).pending().of_tenant(tenant_id).oldest_first()
    return tuple(PendingEvent(*row) for row in events.values_list(*_COLUMNS)[:limit])


def get_pending_events_by_tenant_batch(
    *, limit_per_tenant: int = 50, max_tenants: int = 10, using: str | None = None
) -> dict[str, tuple[PendingEvent, ...]]:
    """The oldest pending events of each of the tenants that have waited longest, who come first.

    A tenant waits since its oldest pending event was created, so one with a long backlog takes nobody's place.
    Costs a look into the index for each tenant with work, however long the backlogs are.
    Raises `ValueError` for a limit below 1.
    """
    _check_limit("limit_per_tenant", limit_per_tenant)
    _check_limit("max_tenants", max_tenants)
    limits = {"limit_per_tenant": limit_per_tenant, "max_tenants": max_tenants}
    batches: dict[str, list[PendingEvent]] = {}
    for event in _fetch("pending_by_tenant", limits, using or conf.get().database):
        batches.setdefault(event.tenant_id, []).append(event)
    return {tenant_id: tuple(batch) for tenant_id, batch in batches.items()}


def _fetch(statement: str, limits: Mapping[str, int], alias: str) -> tuple[PendingEvent, ...]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql.load(statement), limits)
        return tuple(_read(*row) for row in cursor.fetchall())


def _read(*row: Any) -> PendingEvent:
    values = dict(zip(_COLUMNS, row, strict=True))
    payload, headers = json.loads(values["payload"]), json.loads(values["headers"])
    return PendingEvent(*{**values, "payload": payload, "headers": headers}.values())


def _check_limit(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name}={value}: must be at least 1.")
