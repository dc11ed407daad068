"""Axes that are read at a glance: round steps, short numbers, whole quarters of an hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import ceil, floor, log10

Says = Callable[[float], str]
"""How a figure is written."""

MOST_INTERVALS = 4
_CLOCK_MINUTES = (1, 2, 3, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720)
_MOST_CLOCKS = 5


def ticks(highest: float, *, whole: bool) -> tuple[float, ...]:
    """From 0 to the first round figure that is not below the highest."""
    step = _round_step(max(highest, 1e-9) / MOST_INTERVALS)
    if whole:
        step = max(1.0, step)
    return tuple(step * index for index in range(max(1, ceil(highest / step - 1e-9)) + 1))


def clock_ticks(moments: Sequence[datetime]) -> tuple[int, ...]:
    """Which of the moments stand on the axis: those on whole minutes, quarters or hours of their own clock."""
    if len(moments) < 2:
        return tuple(range(len(moments)))
    minutes = (moments[-1] - moments[0]) / timedelta(minutes=1)
    every = next((each for each in _CLOCK_MINUTES if minutes / each <= _MOST_CLOCKS), _CLOCK_MINUTES[-1])
    return tuple(index for index, at in enumerate(moments) if (at.hour * 60 + at.minute) % every == 0)


def count(figure: float) -> str:
    """In full: 38,001."""
    return f"{figure:,.0f}" if figure >= 10 or figure == int(figure) else f"{figure:,.1f}"


def short_count(figure: float) -> str:
    """For an axis: 38k."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if figure >= size:
            return f"{figure / size:.3g}{letter}"
    return f"{figure:.3g}"


def seconds(figure: float) -> str:
    """A time from microseconds to days."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if figure >= size:
            return f"{figure / size:.3g} {unit}"
    return f"{figure * 1_000:.3g} ms"


def _round_step(least: float) -> float:
    """The first of 1, 2, 5, 10, 20 ... that is not below."""
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
