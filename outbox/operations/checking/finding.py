from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    OK = "ok"
    WARNING = "warning"
    """Works, but somebody should know."""
    ERROR = "error"
    """Events are not published, or will not be."""


@dataclass(frozen=True, slots=True)
class Finding:
    part: str
    level: Level
    message: str
    hint: str = ""
    """The way out."""


def ok(part: str, message: str) -> Finding:
    return Finding(part, Level.OK, message)


def warning(part: str, message: str, hint: str) -> Finding:
    return Finding(part, Level.WARNING, message, hint)


def error(part: str, message: str, hint: str) -> Finding:
    return Finding(part, Level.ERROR, message, hint)
