"""The settings of outbox/conf.py as rows of a table."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from docs._ext.markdown import code, row
from outbox import conf

_BOUNDS = {"at_least": "at least {}", "above": "above {}", "at_most": "at most {}"}
_WORDS = {True: "true", False: "false", None: "unset", "": "unset"}


def rows() -> Iterator[str]:
    """Name, default, type with bounds, explanation."""
    kinds = typing.get_type_hints(conf.OutboxSettings)
    for each in fields(conf.OutboxSettings):
        limits = ", ".join([_kind(kinds[each.name]), *_bounds(each.metadata)])
        yield row([code(conf.setting_name(each)), _default(each.default), limits, each.metadata["help"]])


def _default(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return code(f"{value:_}")
    shown = _WORDS.get(value, value) if isinstance(value, bool | str | None) else value
    return "unset" if shown == "unset" else code(shown)


def _kind(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        kind = next(each for each in kind.__args__ if each is not type(None))
    return {int: "whole number", float: "number", bool: "true or false"}.get(kind, "text")


def _bounds(limits: Mapping[str, Any]) -> list[str]:
    return [text.format(f"{limits[key]:_}") for key, text in _BOUNDS.items() if limits.get(key) is not None]
