"""Whether an event is the expected one, and if not, in what it differs. Knows no database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from unittest import mock

ANY: Any = mock.ANY
"""Equal to everything: for what a test does not care about, also inside a payload."""

_MISSING = object()
_LONGEST = 200


def _any() -> Any:
    return ANY


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueuedEvent:
    """An event as it stands in the outbox."""

    event_id: int
    topic: str
    tenant_id: str
    partition_key: str
    dedupe_key: str
    payload: Any
    headers: Mapping[str, str]
    status: str
    available_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an event should be like. `ANY` is what does not matter."""

    topic: Any = field(default_factory=_any)
    tenant_id: Any = field(default_factory=_any)
    partition_key: Any = field(default_factory=_any)
    dedupe_key: Any = field(default_factory=_any)
    payload: Any = field(default_factory=_any)
    headers: Any = field(default_factory=_any)

    def differences(self, event: EnqueuedEvent) -> list[str]:
        """In what the event is not like it, a line each; none if it is."""
        return [line for name, wanted in self._given() for line in _differences(name, wanted, getattr(event, name))]

    def distance(self, event: EnqueuedEvent) -> tuple[int, int]:
        """How far off an event is: by how many of what was asked for, then by how much inside."""
        found = [len(list(_differences(name, wanted, getattr(event, name)))) for name, wanted in self._given()]
        return sum(map(bool, found)), sum(found)

    def __str__(self) -> str:
        return ", ".join(f"{name}={shortened(wanted)}" for name, wanted in self._given()) or "anything"

    def _given(self) -> list[tuple[str, Any]]:
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return [(name, wanted) for name, wanted in values if wanted is not ANY]


def shortened(value: Any) -> str:
    """A value in a message that somebody has to read."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _differences(place: str, wanted: Any, found: Any) -> Iterator[str]:
    if found is _MISSING:
        yield f"{place} is not there, wanted {shortened(wanted)}"
    elif isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, value in wanted.items():
            yield from _differences(f"{place}[{key!r}]", value, found.get(key, _MISSING))
    elif isinstance(wanted, list | tuple) and isinstance(found, list):
        yield from _of_lists(place, wanted, found)
    elif not _same(wanted, found):
        yield f"{place} is {shortened(found)}, wanted {shortened(wanted)}"


def _of_lists(place: str, wanted: list[Any] | tuple[Any, ...], found: list[Any]) -> Iterator[str]:
    if len(wanted) != len(found):
        yield f"{place} has {len(found)} elements, wanted {len(wanted)}"
    for number, (each, there) in enumerate(zip(wanted, found, strict=False)):
        yield from _differences(f"{place}[{number}]", each, there)


def _same(wanted: Any, found: Any) -> bool:
    """JSON's true is not its 1, as it is in Python."""
    scalars = (bool, int, float)
    if (
        isinstance(wanted, scalars)
        and isinstance(found, scalars)
        and isinstance(wanted, bool) != isinstance(found, bool)
    ):
        return False
    return bool(wanted == found)
