"""Charts as lines of SVG: where everything stands. Templates write it down, style sheets give it colours.

Series differ by the class of their number, which is a colour and a dash, and by their mark: a circle, a square, a
triangle or a diamond.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from statistics import fmean

from outbox.console import scales
from outbox.console.scales import Says

WIDTH, HEIGHT = 360.0, 170.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 8.0, 8.0, 22.0
SPARK_WIDTH, SPARK_HEIGHT = 90.0, 22.0
_SPARK_SPOTS = 30
_MARKS = 12
"""So many at most on a line: between them it is seen for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What is drawn. None: nothing is known of that moment, and the line has a gap."""

    label: str
    values: tuple[float | None, ...]
    look: int
    """Number of its colour and dash."""


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    text: str
    moment: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    label: str
    look: int
    path: str
    marks: str
    key: str
    """One mark, for the legend."""
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A moment: a column of the chart with its title, and a row of the table."""

    moment: datetime
    left: float
    width: float
    said: str
    cells: tuple[str, ...]

    @property
    def clock(self) -> str:
        return f"{self.moment:%H:%M}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    title: str
    name: str
    """Of its elements' ids."""
    summary: str
    """What somebody is told who does not see it."""
    lines: tuple[Line, ...]
    rows: tuple[Row, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    is_empty: bool
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM

    @property
    def inside(self) -> float:
        """Height of what lies between the axes."""
        return self.bottom - self.top

    @property
    def text_end(self) -> float:
        return self.left - 5

    @property
    def text_below(self) -> float:
        return self.bottom + 16

    @property
    def latest_first(self) -> tuple[Row, ...]:
        return self.rows[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    path: str
    end: tuple[float, float] | None
    summary: str
    width: float = SPARK_WIDTH
    height: float = SPARK_HEIGHT


def chart(
    *,
    name: str,
    title: str,
    moments: Sequence[datetime],
    series: Sequence[Series],
    say: Says = scales.count,
    say_short: Says = scales.short_count,
    whole: bool = True,
) -> Chart:
    """The moments, in the time zone in which they are to be shown, from left to right."""
    known = [value for each in series for value in each.values if value is not None]
    up = scales.ticks(max(known, default=0), whole=whole)
    columns = _columns(len(moments))
    return Chart(
        name=name,
        title=title,
        summary=_summary(title, moments, series, say),
        lines=tuple(_line(each, columns, highest=up[-1], say=say) for each in series),
        rows=tuple(_rows(moments, series, columns, say)),
        across=tuple(Tick(columns[i], f"{moments[i]:%H:%M}", moments[i]) for i in scales.clock_ticks(moments)),
        up=tuple(Tick(_height(value, up[-1]), say_short(value)) for value in up),
        is_empty=not known,
    )


def spark(values: Sequence[float | None], *, what: str) -> Spark:
    """A line without axes, as wide as a word. `what` is said of it: pending events, for one.

    Of many values neighbours are drawn as one, since a list has many such lines.
    """
    known = [value for value in values if value is not None]
    values = _coarser(values)
    highest = max((value for value in values if value is not None), default=0) or 1
    step = (SPARK_WIDTH - 6) / max(1, len(values) - 1)
    spots = [
        None if value is None else (3 + step * index, SPARK_HEIGHT - 3 - (SPARK_HEIGHT - 6) * value / highest)
        for index, value in enumerate(values)
    ]
    pieces = list(_pieces(spots))
    return Spark(
        path=_drawn(pieces),
        end=_rounded(pieces[-1][-1]) if pieces else None,
        summary=_spark_summary(known, what),
    )


def _coarser(values: Sequence[float | None]) -> list[float | None]:
    """The means of neighbours, so that there are few enough; the last values are never left out."""
    size = ceil(len(values) / _SPARK_SPOTS) or 1
    first = len(values) % size
    groups = [values[:first], *(values[at : at + size] for at in range(first, len(values), size))]
    known = ([value for value in group if value is not None] for group in groups if group)
    return [fmean(group) if group else None for group in known]


def _columns(number: int) -> list[float]:
    step = (WIDTH - LEFT - RIGHT) / max(1, number - 1)
    return [round(LEFT + step * index, 1) for index in range(number)]


def _height(value: float, highest: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / highest, 1)


def _line(series: Series, columns: Sequence[float], *, highest: float, say: Says) -> Line:
    spots = [
        None if value is None else (x, _height(value, highest)) for x, value in zip(columns, series.values, strict=True)
    ]
    known = [value for value in series.values if value is not None]
    every = max(1, len(spots) // _MARKS)
    return Line(
        label=series.label,
        look=series.look,
        path=_drawn(_pieces(spots)),
        marks="".join(_mark(series.look, *spot) for spot in spots[::-1][::every] if spot is not None),
        key=_mark(series.look, 12, 6),
        last=say(known[-1]) if known else "",
    )


def _rows(moments: Sequence[datetime], series: Sequence[Series], columns: Sequence[float], say: Says) -> Iterator[Row]:
    width = round((WIDTH - LEFT - RIGHT) / max(1, len(moments) - 1), 1)
    for index, moment in enumerate(moments):
        cells = tuple("–" if (value := each.values[index]) is None else say(value) for each in series)  # noqa: RUF001
        said = ", ".join(f"{each.label} {cell}" for each, cell in zip(series, cells, strict=True))
        yield Row(moment=moment, left=round(columns[index] - width / 2, 1), width=width, said=said, cells=cells)


def _pieces(spots: Sequence[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    """What is drawn without lifting the pen."""
    piece: list[tuple[float, float]] = []
    for spot in [*spots, None]:
        if spot is not None:
            piece.append(spot)
        elif piece:
            yield piece
            piece = []


def _through(piece: list[tuple[float, float]]) -> str:
    """A piece of one spot is a line of no length, which round caps show as a dot."""
    return "L".join(f"{x:.4g} {y:.4g}" for x, y in piece)


def _drawn(pieces: Iterator[list[tuple[float, float]]] | list[list[tuple[float, float]]]) -> str:
    # A piece of one spot is a line of no length, which round caps show as a dot.
    return "".join(
        "M" + "L".join(f"{x:.4g} {y:.4g}" for x, y in (piece if piece[1:] else piece * 2)) for piece in pieces
    )


def _mark(look: int, x: float, y: float) -> str:
    match look % 4:
        case 1:
            return f"M{x - 2.5:.4g} {y:.4g}a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0Z"
        case 2:
            return f"M{x - 2.2:.4g} {y - 2.2:.4g}h4.4v4.4h-4.4Z"
        case 3:
            return f"M{x:.4g} {y - 3:.4g}l3 5.2h-6Z"
    return f"M{x:.4g} {y - 3:.4g}l3 3l-3 3l-3 -3Z"


def _summary(title: str, moments: Sequence[datetime], series: Sequence[Series], say: Says) -> str:
    parts = []
    for each in series:
        known = [value for value in each.values if value is not None]
        parts.append(
            f"{each.label} {say(known[-1])} last, {say(max(known))} at most" if known else f"{each.label} none"
        )
    span = f"{moments[0]:%H:%M} to {moments[-1]:%H:%M}" if moments else "no time at all"
    return f"{title}, {span}: {'; '.join(parts)}."


def _rounded(spot: tuple[float, float]) -> tuple[float, float]:
    return round(spot[0], 1), round(spot[1], 1)


def _spark_summary(known: Sequence[float], what: str) -> str:
    if not known:
        return f"{what}: nothing known"
    return (
        f"{what}: {scales.count(known[0])} at first, {scales.count(known[-1])} last, {scales.count(max(known))} at most"
    )
