"""The charts of both pages, from what happened minute by minute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from outbox.console import charts, scales
from outbox.console.charts import Chart, Series
from outbox.operations.series import Point, Span

_BLUE, _GREEN, _RED, _VIOLET, _BROWN = range(1, 6)
_SETTLED = timedelta(seconds=20)
"""A step that began later is not drawn: most of it is not written down yet."""


def both(points: Sequence[Point], *, span: Span, now: datetime) -> tuple[Chart, Chart]:
    """What came and went, and how long it took. The last step is going on, so it counts for the part that is over."""
    drawn = [point for point in points if now - point.minute >= _SETTLED]
    moments = [timezone.localtime(point.minute) for point in drawn]
    minutes = [min(span.step, now - point.minute) / timedelta(minutes=1) for point in drawn]
    return _events(drawn, moments, minutes), _latency(drawn, moments)


def _events(points: Sequence[Point], moments: Sequence[datetime], minutes: Sequence[float]) -> Chart:
    def per_minute(name: str) -> tuple[float | None, ...]:
        found = ((getattr(point, name), length) for point, length in zip(points, minutes, strict=True))
        return tuple(None if events is None else events / length for events, length in found)

    quiet = not any(point.enqueued or point.sent or point.failed for point in points)
    return charts.chart(
        name="events",
        title="Events per minute",
        moments=() if quiet else moments,
        series=[
            Series(label=label, values=() if quiet else per_minute(name), look=look)
            for label, name, look in (
                ("enqueued (derived)", "enqueued", _BLUE),
                ("sent", "sent", _GREEN),
                ("failed", "failed", _RED),
            )
        ],
    )


def _latency(points: Sequence[Point], moments: Sequence[datetime]) -> Chart:
    return charts.chart(
        name="latency",
        title="From enqueueing to acknowledgement",
        moments=moments,
        series=[
            Series(label=name, values=tuple(getattr(point, name) for point in points), look=look)
            for name, look in (("p50", _GREEN), ("p95", _VIOLET), ("p99", _BROWN))
        ],
        say=scales.seconds,
        say_short=scales.seconds,
        whole=False,
    )
