"""The record of what operators did."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model

from circuits.events import Origin
from outbox.errors import OutboxError
from outbox.models import ActionSource, OperatorAction

MOST_REASON = 1_000


class NoReason(OutboxError):
    """Operators say why, or nothing is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who does something, and from where."""

    name: str
    """A user's name; for commands the account and its host."""
    source: ActionSource
    address: str | None = None
    """The client's, in the admin."""

    @classmethod
    def of(cls, name: str, origin: Origin) -> Self:
        """Somebody who did something to circuits."""
        return cls(name=name, source=ActionSource(origin.source or ActionSource.CODE), address=origin.address)


def record(
    *,
    by: Operator,
    verb: str,
    using: str,
    reason: str = "",
    tenants: Collection[str] | None = None,
    filter: Mapping[str, Any] | None = None,
    counts: Mapping[str, int] | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down what is being done; call it inside the transaction that does it.

    `tenants`: whom it is about, `*` for everyone; none given, the filter's tenant. Staff who are limited to some
    tenants see what is about none but these.
    """
    asked = dict(filter or {})
    about = [asked["tenant"]] if tenants is None and asked.get("tenant") else sorted(set(tenants or ()))
    OperatorAction.objects.using(using).create(
        actor=by.name[:255],
        source=by.source,
        verb=verb,
        tenants=about,
        filter=asked,
        counts=dict(counts or {}),
        before=before,
        after=after,
        reason=reason,
        address=by.address,
    )


def values_of(row: Model, names: Iterable[str]) -> dict[str, Any]:
    """A row's columns as JSON has them."""
    values: dict[str, Any] = json.loads(json.dumps({name: getattr(row, name) for name in names}, cls=DjangoJSONEncoder))
    return values


def checked_reason(reason: str) -> str:
    """The reason, tidied. Raises `NoReason` for none, and for one that is too long to be one."""
    tidied = optional_reason(reason)
    if not tidied:
        raise NoReason("say why: a reason is required, and recorded")
    return tidied


def optional_reason(reason: str) -> str:
    """The reason, tidied; empty where nobody gave one. Raises `NoReason` for one that is too long."""
    tidied = " ".join(reason.replace("\x00", "").split())
    if len(tidied) > MOST_REASON:
        raise NoReason(f"a reason has at most {MOST_REASON} characters, this one {len(tidied)}")
    return tidied
