"""When events were created, as far as latencies ask for it: by chunk, not by event, for there are too many of these."""

from __future__ import annotations

Span = tuple[int, int, int]
"""When the first and the last of some events were created, and how many they are."""


def split(spans: list[Span], events: int) -> tuple[list[Span], list[Span]]:
    """The first so many events, and the others. A span that is divided is taken to be even."""
    taken: list[Span] = []
    for place, (first, last, size) in enumerate(spans):
        if size > events:
            between = first + (last - first) * events // size
            head = [(first, between, events)] if events else []
            return taken + head, [(between, last, size - events), *spans[place + 1 :]]
        taken.append((first, last, size))
        events -= size
    return taken, []
