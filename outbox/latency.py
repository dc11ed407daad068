"""How long events took from their creation to the broker's acknowledgement, as counts in fixed buckets.

Bucket n holds what took at most 2^n milliseconds and more than the bucket before: 1 ms, 2 ms, 4 ms ... 4,194 s (70
minutes); the last one holds all that took longer. Zeros at the end may be left out.
"""

from __future__ import annotations

from collections.abc import Sequence

BOUNDS = tuple(2.0**n / 1_000 for n in range(23))
"""The longest time of each bucket but the last, in seconds."""
BUCKETS = len(BOUNDS) + 1

_LAST = BUCKETS - 1


def bucket(microseconds: int) -> int:
    """Where a time belongs. Clocks that differ may make it negative: then it is the shortest."""
    return min(_LAST, ((microseconds - 1) // 1_000).bit_length()) if microseconds > 0 else 0


def spread(counts: list[int], *, shortest: int, longest: int, events: int) -> None:
    """Add events of which only the two ends are known, evenly between them; times in microseconds."""
    first, last = bucket(shortest), bucket(longest)
    if first >= last:
        counts[first] += events
        return
    below, width = 0, longest - shortest
    for place in range(first, last):
        upto = (2 * events * ((1_000 << place) - shortest) + width) // (2 * width)
        counts[place] += upto - below
        below = upto
    counts[last] += events - below


def trimmed(counts: Sequence[int]) -> list[int]:
    """Without the zeros at the end."""
    end = len(counts)
    while end and not counts[end - 1]:
        end -= 1
    return list(counts[:end])


def quantile(counts: Sequence[int], q: float) -> float | None:
    """The time that the part `q` of the events did not exceed, in seconds, to within its bucket; None without any.

    Of times beyond the last bound only that bound is known.
    """
    total = sum(counts)
    if not total:
        return None
    rank, below = q * total, 0
    for place, events in enumerate(counts):
        if events and below + events >= rank:
            return _inside(place, (rank - below) / events)
        below += events
    return BOUNDS[-1]


def _inside(place: int, part: float) -> float:
    if place >= _LAST:
        return BOUNDS[-1]
    low = BOUNDS[place - 1] if place else 0.0
    return low + (BOUNDS[place] - low) * part
