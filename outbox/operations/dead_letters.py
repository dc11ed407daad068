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
MOST_NAMES = 1_000
"""Error classes, or topics, that are looked at, whosever they are."""


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
class Kind:
    """Groups by the same thing, the largest first."""

    groups: tuple[Group, ...]
    more: bool
    """Whether there are smaller ones beside these."""
    is_cut: bool
    """Whether there are more names than were looked at: what comes later in the alphabet is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    by_class: Kind
    by_topic: Kind


def groups(*, tenants: Collection[str] | None = None, using: str | None = None) -> Groups:
    """Of these tenants, or of all; each counted up to `MOST_COUNTED`, and of each kind the largest `MOST_GROUPS`."""
    alias = using or conf.get().database
    with quick(alias):
        return Groups(
            by_class=_read("error_class", tenants, alias),
            by_topic=_read("topic", tenants, alias),
        )


def _read(by: Literal["error_class", "topic"], tenants: Collection[str] | None, alias: str) -> Kind:
    limited = None if tenants is None else sorted(tenants)
    with connections[alias].cursor() as cursor:
        limits = {"names": MOST_NAMES + 1, "most": MOST_GROUPS + 1, "cap": MOST_COUNTED + 1}
        cursor.execute(sql.load("dead_letters").format(by=by), {**limits, "tenants": limited})
        rows = cursor.fetchall()
    found = tuple(
        Group(name=name, events=min(events, MOST_COUNTED), tenants=tenants_of, more=events > MOST_COUNTED)
        for _, name, events, tenants_of in rows
        if name is not None
    )
    return Kind(groups=found[:MOST_GROUPS], more=len(found) > MOST_GROUPS, is_cut=rows[0][0] > MOST_NAMES)
