"""What operators did, looked for in the record: by index, a page at a time, and never counted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outbox import conf
from outbox.models import OperatorAction
from outbox.models.operator_action import ActionQuerySet

PAGE = 100
# Numbers are given when a row is written and times when it was begun, so that neighbours may stand the other way round.
_OVERLAP = 1_000
_PLACES = ("after",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFilter:
    """All that is given has to hold."""

    actor: str = ""
    verb: str = ""
    tenant_id: str = ""
    words: str = ""
    """In the reason, all of them."""
    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""
    tenants: frozenset[str] | None = None
    """Whoever asks is limited to these, and sees what was about none but these. None: not limited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPage:
    actions: tuple[OperatorAction, ...]
    """The latest first."""
    older: int | None
    """Where the page behind it begins; None at the end."""


def browse(asked: ActionFilter, *, before: int | None = None, using: str | None = None) -> ActionPage:
    """What was recorded before the number given, at most `PAGE` of it."""
    rows = _chosen(asked, using or conf.get().database)
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows.order_by("-id")[: PAGE + 1])
    older = found[PAGE - 1].pk if len(found) > PAGE else None
    return ActionPage(actions=tuple(found[:PAGE]), older=older)


def asked_for(action: OperatorAction, *, tenants: Collection[str] | None) -> dict[str, Any]:
    """The action's filter. Of the tenants that its operator was limited to, whoever is limited reads their own alone,
    of events that were named those that were changed, and no place where a batch began: it names another tenant."""
    given: dict[str, Any] = action.filter
    if tenants is None:
        return given
    shown = {name: value for name, value in given.items() if name not in _PLACES}
    if "tenants" in shown:
        shown["tenants"] = [each for each in shown["tenants"] if each in tenants]
    if "ids" in shown and (changed := _changed(action)):
        shown["ids"] = [each for each in shown["ids"] if each in changed]
    return shown


def _changed(action: OperatorAction) -> set[Any]:
    """Events of the tenants that it was about. Others that were named may be anybody's."""
    lists = (value for value in (action.before or {}).values() if isinstance(value, list))
    return {event_id for each in lists for event_id in each}


def _chosen(asked: ActionFilter, alias: str) -> ActionQuerySet:
    rows = OperatorAction.objects.using(alias).within(asked.tenants)
    if asked.actor:
        rows = rows.filter(actor=asked.actor)
    if asked.verb:
        rows = rows.filter(verb=asked.verb)
    if asked.tenant_id:
        rows = rows.of_tenant(asked.tenant_id)
    if asked.words:
        rows = rows.saying(asked.words)
    return _within_time(rows, asked, alias)


def _within_time(rows: ActionQuerySet, asked: ActionFilter, alias: str) -> ActionQuerySet:
    """By number, as pages go; a range of times would be read from its end of the whole record."""
    everything = OperatorAction.objects.using(alias)
    if asked.since is not None:
        rows = rows.filter(at__gte=asked.since)
        first = everything.filter(at__gte=asked.since).order_by("at").values_list("id", flat=True).first()
        rows = rows.none() if first is None else rows.filter(id__gte=first - _OVERLAP)
    if asked.until is not None:
        rows = rows.filter(at__lt=asked.until)
        last = everything.filter(at__lt=asked.until).order_by("-at").values_list("id", flat=True).first()
        rows = rows.none() if last is None else rows.filter(id__lte=last + _OVERLAP)
    return rows
