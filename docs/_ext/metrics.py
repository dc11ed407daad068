"""What /metrics has: the counters of relays, and the figures that a scrape reads from the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType
from unittest.mock import patch

from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

from circuits import metrics as circuits
from circuits.collector import CircuitCollector, Trouble
from docs._ext.markdown import code, table
from outbox.enqueueing import metrics as enqueueing
from outbox.metrics import OutboxCollector, Snapshot
from outbox.operations import metrics as operations
from outbox.operations.backlog import Backlog, Totals
from outbox.relay import metrics as relay
from somabrain.memory import metrics as memory


def families() -> list[Metric]:
    """All of them."""
    return [*of_relays(), *of_application(), *of_circuits(), *of_memory(), *of_database()]


def of_relays() -> list[Metric]:
    """Each process counts for itself."""
    return _described(relay)


def of_application() -> list[Metric]:
    """Counted by the processes that enqueue, and by tasks and commands."""
    return _described(enqueueing, operations)


def of_circuits() -> list[Metric]:
    """Counted by every process that uses one."""
    return _described(circuits)


def of_memory() -> list[Metric]:
    """Counted by every process that uses it, and brought up to date by a scrape."""
    return _described(memory)


def _described(*modules: ModuleType) -> list[Metric]:
    return [family for each in _wrappers(*modules) for family in each.describe()]


def _wrappers(*modules: ModuleType) -> list[MetricWrapperBase]:
    return [each for module in modules for each in vars(module).values() if isinstance(each, MetricWrapperBase)]


def of_database() -> list[Metric]:
    """Read at most every few seconds, however many scrape."""
    now = datetime.now(UTC)
    backlog = Backlog(taken_at=now, read_at=now, tenants=(), totals=Totals())
    nothing = Snapshot(backlog=backlog, relays=0, task_queue_wait=0.0)
    with patch("outbox.metrics.read_snapshot", return_value=nothing):
        of_outbox = list(OutboxCollector().collect())
    trouble = Trouble(tenant_id="acme", name="memory", state="open", circuits=1)
    with patch("circuits.collector.read_trouble", return_value=(trouble,)):
        return [*of_outbox, *CircuitCollector().collect()]


def exposed_name(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def markdown() -> str:
    parts = [
        "### Relays",
        table(_HEAD, _rows(of_relays())),
        "### Application and tasks",
        table(_HEAD, _rows(of_application())),
        "### Circuits",
        table(_HEAD, _rows(of_circuits())),
        "### Memory",
        table(_HEAD, _rows(of_memory())),
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
    own = {each._name: tuple(each._labelnames) for each in _wrappers(relay, enqueueing, operations, circuits, memory)}
    return own.get(metric.name) or tuple(getattr(metric, "_labelnames", ()))
