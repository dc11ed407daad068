"""What verbs print: aligned columns for people, JSON lines for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import OutputWrapper
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from circuits.models import CircuitTransition
from circuits.operations.listing import CircuitRow

_LONGEST_CELL = 60


def write_json(stream: OutputWrapper, record: Mapping[str, Any]) -> None:
    stream.write(json.dumps(record, cls=DjangoJSONEncoder, ensure_ascii=False))


def as_record(circuit: CircuitRow) -> dict[str, Any]:
    """A circuit for programs: the thresholds that hold, and which of them are its own."""
    record = asdict(circuit)
    own = record.pop("thresholds")
    thresholds = record.pop("policy")
    return {**record, "thresholds": thresholds, "own_thresholds": {name: v for name, v in own.items() if v is not None}}


def change_as_record(change: CircuitTransition) -> dict[str, Any]:
    return {
        "at": change.at,
        "from_state": change.from_state,
        "to_state": change.to_state,
        "why": change.why,
        "by": change.by,
        "reason": change.reason,
        "until": change.until,
        "failures": change.failures,
        "calls": change.calls,
        "error_code": change.error_code,
        "epoch": change.epoch,
    }


def write_table(stream: OutputWrapper, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as their longest cell; nothing when there are no rows."""
    table = [[cell(value) for value in row] for row in rows]
    if not table:
        return
    table.insert(0, list(head))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        stream.write("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def cell(value: Any) -> str:
    """One line of text, without what would steer the terminal."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:g}"
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"
