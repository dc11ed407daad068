"""Dead letters in groups: by what went wrong, and by topic."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from django.db import connections

from outbox import conf, sql
from outbox.operations.quick import quick

MOST_COUNTED = 1_000
MOST_GROUPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Dead letters with something in common."""

    name: str
    """Their error class, or their topic."""
    events: int
    tenants: int
    more: bool
    """Whether these are only the first ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The largest come first."""

    by_class: tuple[Group, ...]
    by_topic: tuple[Group, ...]


def groups(*, tenants: Collection[str] | None = None, using: str | None = None) -> Groups:
    """Of these tenants, or of all; each counted up to `MOST_COUNTED`, and of each kind the first `MOST_GROUPS`."""
    alias = using or conf.get().database
    with quick(alias):
        return Groups(
            by_class=_read("error_class", tenants, alias),
            by_topic=_read("topic", tenants, alias),
        )


def _read(by: Literal["error_class", "topic"], tenants: Collection[str] | None, alias: str) -> tuple[Group, ...]:
    limited = None if tenants is None else sorted(tenants)
    with connections[alias].cursor() as cursor:
        parameters = {"most": MOST_GROUPS, "cap": MOST_COUNTED + 1, "tenants": limited}
        cursor.execute(sql.load("dead_letters").format(by=by), parameters)
        return tuple(
            Group(name=name, events=min(events, MOST_COUNTED), tenants=tenants_of, more=events > MOST_COUNTED)
            for name, events, tenants_of in cursor.fetchall()
        )
