"""The settings of outbox/conf.py and circuits/conf.py as rows of a table."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import Field, asdict, fields
from enum import StrEnum
from typing import Any

import circuits.conf
import outbox.conf
from docs._ext.markdown import code, row

_BOUNDS = {"at_least": "at least {}", "above": "above {}", "at_most": "at most {}"}
_WORDS = {True: "true", False: "false", None: "unset", "": "unset"}


def names() -> list[str]:
    """All settings of both apps, in the order of the table."""
    of_outbox = [outbox.conf.setting_name(each) for each in fields(outbox.conf.OutboxSettings)]
    return of_outbox + [circuits.conf.setting_name(each) for each in fields(circuits.conf.CircuitSettings)]


def rows() -> Iterator[str]:
    """Name, default, type with bounds, explanation."""
    kinds = [
        *_kinds(outbox.conf.OutboxSettings),
        *_kinds(circuits.conf.CircuitSettings),
    ]
    for name, (each, kind) in zip(names(), kinds, strict=True):
        limits = ", ".join([_kind(kind), *_bounds(each.metadata)])
        yield row([code(name), _default(each.default), limits, each.metadata["help"]])


def _kinds(settings: Any) -> Iterator[tuple[Field[Any], Any]]:
    hints = typing.get_type_hints(settings)
    return ((each, hints[each.name]) for each in fields(settings))


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(code(each) for each in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return code(f"{value:_}")
    shown = _WORDS.get(value, value) if isinstance(value, bool | str | None) else value
    return "unset" if shown == "unset" else code(shown)


def _kind(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        return "texts"
    if isinstance(kind, types.UnionType):
        kind = next(each for each in kind.__args__ if each is not type(None))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " or ".join(code(each.value) for each in kind)
    return {int: "whole number", float: "number", bool: "true or false"}.get(kind, "text")


def _bounds(limits: Mapping[str, Any]) -> list[str]:
    limits = asdict(limits["bounds"]) if "bounds" in limits else limits
    return [text.format(f"{limits[key]:_}") for key, text in _BOUNDS.items() if limits.get(key) is not None]
