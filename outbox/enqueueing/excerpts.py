"""What an error shows of a value: enough to recognise it, too little to give a secret away."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

_MOST_CHARACTERS = 40
_MOST_BITS = 200


def excerpt(value: Any) -> str:
    """The beginning of a name or key, or a number; anything else by its type and length."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _MOST_CHARACTERS else f"{value[:_MOST_CHARACTERS]!r}..."
    return outline(value)


def outline(value: Any) -> str:
    """A number, or else only type and length: texts, headers and foreign objects may hold secrets."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"<int of {value.bit_length()} bits>"
    if isinstance(value, int | float | None):
        return repr(value)
    name = type(value).__name__
    return f"<{name} of length {len(value)}>" if isinstance(value, Sized) else f"<{name}>"
