"""The service's environment, read as strictly as the apps read their settings.

A variable that is empty or blank counts as unset. Each function raises `InvalidValue`.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import Any

from circuits.policy import Bounds
from circuits.typed_settings import InvalidValue, Unusable, parse

_HIGHEST_PORT = 65_535
_ADDRESS = re.compile(r"unix:.+|fd://\d+|(?:tcp://)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):(?P<port>\d{1,5})")


def text(name: str, *, default: str = "") -> str:
    """As it was written, blanks included."""
    given = os.environ.get(name, "")
    return given if given.strip() else default


def texts(name: str) -> list[str]:
    """What stands between commas."""
    return list(_parsed(name, tuple[str, ...], ""))


def boolean(name: str, *, default: bool) -> bool:
    """True, 1, yes or on; false, 0, no or off; in capital letters too."""
    return bool(_parsed(name, bool, default))


def whole(name: str, *, default: int, at_least: int, at_most: int) -> int:
    """A whole number within these bounds."""
    value = int(_parsed(name, int, default))
    if wrong := Bounds(help=name, at_least=at_least, at_most=at_most).problem(value):
        raise InvalidValue(name, text(name), wrong)
    return value


def choice(name: str, among: type[StrEnum], *, default: str) -> str:
    """One of the words, in small letters."""
    return str(_parsed(name, among, default))


def addresses(name: str, *, default: str) -> list[str]:
    """Where gunicorn is to listen: `host:port`, `unix:path` or `fd://number`, with commas between them."""
    found = list(_parsed(name, tuple[str, ...], default))
    for address in found:
        match = _ADDRESS.fullmatch(address)
        if match is None or int(match["port"] or 0) > _HIGHEST_PORT:
            raise InvalidValue(name, text(name), "must be host:port, such as 127.0.0.1:8000, or unix:/run/web.sock")
    return found


def _parsed(name: str, wanted: Any, default: Any) -> Any:
    given = text(name)
    try:
        return parse(given or default, wanted)
    except Unusable as error:
        raise InvalidValue(name, given, str(error)) from None
