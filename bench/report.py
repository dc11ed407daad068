"""What was asked, what was found."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.measure import spread


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound that the median is held against."""

    sign: str
    bound: float

    def holds(self, value: float) -> bool:
        compare: Callable[[float, float], bool] = operator.ge if self.sign == ">=" else operator.le
        return compare(value, self.bound)

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"


def at_least(bound: float) -> Limit:
    return Limit(">=", bound)


def at_most(bound: float) -> Limit:
    return Limit("<=", bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number, measured once a round. Those with a key stand in the JSON object as well."""

    what: str
    samples: Sequence[float]
    key: str | None = None
    asked: Limit | None = None

    @property
    def missed(self) -> bool:
        """Whether the median is not what was asked."""
        return self.asked is not None and not self.asked.holds(spread(self.samples).median)

    @property
    def verdict(self) -> str:
        return "" if self.asked is None else "MISSED" if self.missed else "met"


def table(figures: Iterable[Figure]) -> str:
    """All figures, one a line."""
    rows = [("", "asked", "got", "min .. max", "")]
    for figure in figures:
        found = spread(figure.samples)
        between = f"{_number(found.minimum)} .. {_number(found.maximum)}"
        asked = str(figure.asked) if figure.asked else ""
        rows.append((figure.what, asked, _number(found.median), between, figure.verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def as_json(figures: Iterable[Figure]) -> str:
    """Medians under their keys, minimum and maximum under the same with `_min` and `_max`."""
    found: dict[str, float] = {}
    for figure in figures:
        if figure.key is not None:
            of_rounds = spread(figure.samples)
            found[figure.key] = round(of_rounds.median, 4)
            found[f"{figure.key}_min"] = round(of_rounds.minimum, 4)
            found[f"{figure.key}_max"] = round(of_rounds.maximum, 4)
    return json.dumps(found)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    what, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join([row[0].ljust(len(what)), *rest]).rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}" if value < 10 else f"{value:.1f}"
