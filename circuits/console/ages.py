"""How long something takes, or lasts, in words."""

from __future__ import annotations

from datetime import timedelta

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration(span: timedelta) -> str:
    """The two largest units: 3 min 12 s. What is below a second, or not over yet, is 0 s."""
    left = max(0, int(span.total_seconds()))
    parts: list[tuple[int, str]] = []
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        if number or parts:
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number) or "0 s"
