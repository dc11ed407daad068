"""What /metrics has: the counters of relays, and the figures that a scrape reads from the database."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

from docs._ext.markdown import code, table
from outbox.metrics import OutboxCollector, Snapshot
from outbox.relay import metrics


def of_relays() -> list[Metric]:
    """Each process counts for itself."""
    found = (each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase))
    return [family for each in found for family in each.describe()]


def of_database() -> list[Metric]:
    """Read at most every few seconds, however many scrape."""
    nothing = Snapshot(pending=(), failed=(), relays=0)
    with patch("outbox.metrics.read_snapshot", return_value=nothing):
        return list(OutboxCollector().collect())


def exposed_name(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def markdown() -> str:
    parts = [
        "### Relays",
        table(_HEAD, _rows(of_relays())),
        "### Database",
        table(_HEAD, _rows(of_database())),
    ]
    return "\n\n".join(parts)


_HEAD = ["Metric", "Type", "Labels", "Meaning"]


def _rows(families: list[Metric]) -> Iterator[list[str]]:
    for each in families:
        labels = ", ".join(code(label) for label in _labels(each))
        yield [code(exposed_name(each)), each.type, labels, each.documentation]


def _labels(metric: Metric) -> tuple[str, ...]:
    wrapped = (each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase))
    own = {each._name: tuple(each._labelnames) for each in wrapped}
    return own.get(metric.name) or tuple(getattr(metric, "_labelnames", ()))
