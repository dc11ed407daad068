"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def code(value: object) -> str:
    return f"`{value}`"


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join([row(head), row(["---"] * len(head)), *(row(cells) for cells in rows)])
