"""What the database says about circuits, as Prometheus reads it; counters of each process are not here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from django.db import connections, transaction
from prometheus_client.core import GaugeMetricFamily, Metric

from circuits import conf, sql
from circuits.names import OTHER_TENANTS
from circuits.scraping import SnapshotCollector, limit_statements

LABELLED = 200
STATE_VALUES: Mapping[str, float] = {
    "closed": 0.0,
    "half_open": 0.5,
    "open": 1.0,
    "forced_open": 1.0,
    "forced_closed": 0.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Circuits that are not simply closed. Those of `OTHER_TENANTS` are counted together."""

    tenant_id: str
    name: str
    state: str
    circuits: int


class CircuitCollector(SnapshotCollector[tuple[Trouble, ...]]):
    """What is not simply closed."""

    app = "circuits"

    def read(self) -> tuple[Trouble, ...]:
        return read_trouble()

    def metrics(self, snapshot: tuple[Trouble, ...]) -> Iterator[Metric]:
        yield _states(snapshot)
        yield _counts(snapshot)


def read_trouble() -> tuple[Trouble, ...]:
    """Look at the database now. Costs as much as there is trouble, however many circuits there are."""
    database = conf.get().database
    with transaction.atomic(using=database), connections[database].cursor() as cursor:
        limit_statements(database)
        cursor.execute(sql.load("trouble"), {"labelled": LABELLED, "others": OTHER_TENANTS})
        return tuple(
            Trouble(tenant_id=tenant_id, name=name, state=state, circuits=circuits)
            for tenant_id, name, state, circuits in cursor.fetchall()
        )


def _states(found: Iterable[Trouble]) -> Metric:
    metric = GaugeMetricFamily(
        "circuits_state",
        "Circuits that are not simply closed: 0 forced closed, 0.5 half-open, 1 open or forced open.",
        labels=["tenant_id", "name"],
    )
    for each in found:
        if each.tenant_id != OTHER_TENANTS:
            metric.add_metric([each.tenant_id, each.name], STATE_VALUES[each.state])
    return metric


def _counts(found: Iterable[Trouble]) -> Metric:
    metric = GaugeMetricFamily(
        "circuits_not_closed", "How many circuits are in a state other than closed.", labels=["name", "state"]
    )
    counts: dict[tuple[str, str], int] = {}
    for each in found:
        place = (each.name, each.state)
        counts[place] = counts.get(place, 0) + each.circuits
    for (name, state), number in sorted(counts.items()):
        metric.add_metric([name, state], number)
    return metric
