"""The latest failed attempts at events of some tenants."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections

from outbox import conf, sql
from outbox.operations.quick import quick

MOST_LOOKED_AT = 10_000
"""No index knows whose an attempt was: so many of all tenants are looked through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestAttempts:
    ids: tuple[int, ...]
    """The latest first."""
    looked_to: datetime | None
    """There are attempts from before that were not looked at; None: there are none."""


def latest_attempts(*, tenants: Collection[str], limit: int, using: str | None = None) -> LatestAttempts:
    """At most `limit`, of the last `MOST_LOOKED_AT` attempts of all tenants."""
    alias = using or conf.get().database
    asked: dict[str, Any] = {"tenants": sorted(tenants), "limit": limit, "most": MOST_LOOKED_AT}
    with quick(alias), connections[alias].cursor() as cursor:
        cursor.execute(sql.load("latest_attempts"), asked)
        ids, looked_to = cursor.fetchone()
    return LatestAttempts(ids=tuple(ids), looked_to=looked_to)
