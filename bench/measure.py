"""Numbers out of samples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of some rounds, with the worst and the best of them."""

    median: float
    minimum: float
    maximum: float


def spread(samples: Iterable[float]) -> Spread:
    found = sorted(samples)
    return Spread(median=statistics.median(found), minimum=found[0], maximum=found[-1])


def percentile(samples: Iterable[float], share: float) -> float:
    """The smallest sample that `share` (0 to 1) of all do not exceed: nearest rank, never interpolated."""
    found = sorted(samples)
    return found[max(0, math.ceil(share * len(found)) - 1)]


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round, since both sides of one round had the same machine."""
    return [a / b for a, b in zip(over, under, strict=True)]
