"""What verbs print: aligned tables for people, JSON lines for programs."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import OutputWrapper
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

LONGEST_CELL = 60
_CONTROLS = re.compile("[\x7f-\x9f]")


def write_json(stream: OutputWrapper, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, cls=_Encoder, ensure_ascii=False)
    # JSON escapes the others itself, and these would steer a terminal as well.
    stream.write(_CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def write_table(stream: OutputWrapper, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as their longest cell, numbers to the right; nothing when there are no rows."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return
    table = [list(head), *cells]
    widths = [max(len(row[at]) for row in table) for at in range(len(head))]
    right = [all(_is_number(row[at]) for row in cells) for at in range(len(head))]
    for row in table:
        padded = (
            cell.rjust(width) if to else cell.ljust(width) for cell, width, to in zip(row, widths, right, strict=True)
        )
        stream.write("  ".join(padded).rstrip())


def age(value: timedelta | None) -> str:
    """A duration as people read it: its two largest units."""
    if value is None:
        return ""
    seconds = max(0, int(value.total_seconds()))
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return "".join(f"{number}{unit}" for number, unit in parts[:2] if number or unit == parts[0][1])


def at(value: datetime | None) -> str:
    """A moment in the project's time zone."""
    return "" if value is None else timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S")


def plain(value: str) -> str:
    """A text of somebody else's, without what would steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in value)


class _Encoder(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        if dataclasses.is_dataclass(o) and not isinstance(o, type):
            return {each.name: getattr(o, each.name) for each in dataclasses.fields(o)}
        if isinstance(o, timedelta):
            return o.total_seconds()
        return o.value if isinstance(o, enum.Enum) else super().default(o)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return at(value)
    if isinstance(value, timedelta):
        return age(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    text = plain("" if value is None else str(value))
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def _is_number(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "").lstrip("~").isdecimal() or not cell
