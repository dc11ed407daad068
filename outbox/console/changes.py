"""What a recorded action changed, as short as it can be said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from circuits.console.times import recorded

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    name: str
    before: str
    after: str


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> tuple[Change, ...]:
    """What differs, one by one. Lists, such as those of events, are left to the action's own page."""
    old, new = dict(before or {}), dict(after or {})
    differing = (name for name in {**old, **new} if old.get(name) != new.get(name))
    return tuple(
        Change(name=name.replace("_", " "), before=_said(old.get(name)), after=_said(new.get(name)))
        for name in differing
        if not isinstance(old.get(name), (list, dict)) and not isinstance(new.get(name), (list, dict))
    )


def _said(value: Any) -> str:
    if value in (None, ""):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, (int, float)) else recorded(str(value))
