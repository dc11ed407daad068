from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models.functions import Now
from prometheus_client import CollectorRegistry
from pytest_django import DjangoAssertNumQueries

from circuits import collector
from circuits.collector import CircuitCollector
from circuits.models import TenantCircuit

pytestmark = pytest.mark.django_db


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def store(tenant_id: str, **fields: Any) -> None:
    TenantCircuit.objects.create(**{"tenant_id": tenant_id, "name": "publish", **fields})


def opened(tenant_id: str, *, until: timedelta = timedelta(hours=1), age: timedelta = timedelta()) -> None:
    store(tenant_id, state="open", open_until=Now() + until, opened_at=Now() - age)


def values(from_: CircuitCollector, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for metric in from_.collect()
        for sample in metric.samples
        if sample.name == name
    }


def test_circuits_that_are_not_closed_are_told() -> None:
    store("well", failures=2)
    opened("down")
    opened("due", until=-timedelta(hours=1))
    store("held", override="forced_open")
    store("trusted", override="forced_closed")
    store("over", override="forced_open", override_until=Now() - timedelta(hours=1))
    found = CircuitCollector()
    assert values(found, "circuits_state") == {
        ("down", "publish"): 1,
        ("due", "publish"): 0.5,
        ("held", "publish"): 1,
        ("trusted", "publish"): 0,
    }
    assert values(found, "circuits_not_closed") == {
        ("publish", "open"): 1,
        ("publish", "half_open"): 1,
        ("publish", "forced_open"): 1,
        ("publish", "forced_closed"): 1,
    }
    assert values(found, "circuits_scrape_success") == {(): 1}


def test_only_those_that_opened_last_have_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "LABELLED", 2)
    for number in range(5):
        opened(f"t{number}", age=timedelta(minutes=number))
    found = CircuitCollector()
    assert set(values(found, "circuits_state")) == {("t0", "publish"), ("t1", "publish")}
    assert values(found, "circuits_not_closed") == {("publish", "open"): 5}


def test_figures_are_read_again_only_when_they_are_old(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    clock = Clock()
    found = CircuitCollector(cache_seconds=10, clock=clock)
    list(found.collect())
    opened("down")
    clock.now = 9
    with django_assert_num_queries(0):
        assert values(found, "circuits_state") == {}
    clock.now = 10
    assert values(found, "circuits_state") == {("down", "publish"): 1}


def test_a_failed_look_leaves_the_last_figures(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise OperationalError("gone")

    clock = Clock()
    found = CircuitCollector(cache_seconds=10, clock=clock)
    opened("down")
    list(found.collect())
    monkeypatch.setattr(collector, "read_trouble", refuse)
    clock.now = 10
    assert values(found, "circuits_scrape_success") == {(): 0}
    assert values(found, "circuits_state") == {("down", "publish"): 1}
    assert len(caplog.records) == 1


def test_registering_reads_nothing(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        CollectorRegistry(auto_describe=True).register(CircuitCollector())
