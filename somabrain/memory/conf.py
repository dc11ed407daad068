"""The settings of the memory, typed. A string, as the environment gives it, is parsed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings

from somabrain.memory.errors import InvalidSetting


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """Times are in seconds."""

    url: str
    """Empty: there is no memory to be reached by HTTP."""
    token: str
    timeout: float
    connect_timeout: float
    connections: int


def get() -> MemorySettings:
    """The settings as they stand. Raises `InvalidSetting` for the first one that is wrong."""
    return MemorySettings(**{name: read(f"MEMORY_{name.upper()}") for name, read in _READERS.items()})


def problems() -> list[InvalidSetting]:
    """Everything wrong with the settings, not only the first."""
    found: list[InvalidSetting] = []
    for name, read in _READERS.items():
        try:
            read(f"MEMORY_{name.upper()}")
        except InvalidSetting as problem:
            found.append(problem)
    return found


def _url(name: str) -> str:
    value = str(_given(name))
    if not value:
        return value
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidSetting(name, value, f"is no URL: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise InvalidSetting(name, f"{parts.scheme}://***", "must have no credentials; they belong in MEMORY_TOKEN")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise InvalidSetting(name, value, "must be like https://memory.example/path, without a query")
    return value.rstrip("/")


def _token(name: str) -> str:
    value = str(_given(name))
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise InvalidSetting(name, "***", "must be printable ASCII without blanks, as HTTP headers are")
    return value


def _number(name: str, *, at_most: float) -> float:
    raw = _given(name)
    try:
        value = float(raw)
    except (TypeError, ValueError) as error:
        raise InvalidSetting(name, raw, "must be a number of seconds") from error
    if not (0 < value <= at_most) or not math.isfinite(value):
        raise InvalidSetting(name, raw, f"must be above 0 and at most {at_most:g}")
    return value


def _whole(name: str, *, at_most: int) -> int:
    raw = _given(name)
    try:
        value = int(raw)
    except (TypeError, ValueError) as error:
        raise InvalidSetting(name, raw, "must be a whole number") from error
    if not 1 <= value <= at_most:
        raise InvalidSetting(name, raw, f"must be from 1 to {at_most}")
    return value


def _given(name: str) -> Any:
    return getattr(django_settings, name)


_READERS: Mapping[str, Callable[[str], Any]] = {
    "url": _url,
    "token": _token,
    "timeout": partial(_number, at_most=600),
    "connect_timeout": partial(_number, at_most=60),
    "connections": partial(_whole, at_most=10_000),
}
