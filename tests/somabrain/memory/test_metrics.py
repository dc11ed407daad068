"""The memory's gauges say how things are, and never cost a call."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from pytest_django import Settings

from circuits.operations import steering
from circuits.process import process
from somabrain.memory import CIRCUIT_STATE, OUTBOX_PENDING, HttpMemoryBackend, MemoryService, metrics, queue
from somabrain.models import QueuedWrite
from tests.somabrain.memory.marks import on_database
from tests.support.memory_server import MemoryServer

pytestmark = on_database


def value(gauge: Any, tenant_id: str = "acme") -> float | None:
    """None without a line."""
    found = {sample.labels["tenant_id"]: sample.value for each in gauge.collect() for sample in each.samples}
    return found.get(tenant_id)


@pytest.fixture
def service(backend: HttpMemoryBackend) -> MemoryService:
    return MemoryService(backend, "acme")


def break_circuit(service: MemoryService, memory: MemoryServer) -> None:
    memory.status = 503
    for number in range(5):
        service.remember(f"tea-{number}", number)
    memory.status = 200


def test_a_closed_circuit_is_0_and_an_open_one_1(service: MemoryService, memory: MemoryServer) -> None:
    service.remember("tea", "green")
    assert value(CIRCUIT_STATE) == 0
    break_circuit(service, memory)
    assert value(CIRCUIT_STATE) == 1
    assert value(CIRCUIT_STATE, "globex") is None


def test_a_half_open_circuit_is_a_half(service: MemoryService, memory: MemoryServer) -> None:
    MemoryService.configure_tenant_thresholds("acme", reset_interval=0.001)
    break_circuit(service, memory)
    metrics.refresh()
    assert value(CIRCUIT_STATE) == 0.5
    service.recall("tea")
    assert value(CIRCUIT_STATE) == 0


@pytest.mark.parametrize(("force", "shown"), [(steering.force_open, 1), (steering.force_closed, 0)])
def test_forced_states_are_shown_as_what_they_do(service: MemoryService, force: Any, shown: int) -> None:
    force(tenant_id="acme", name="memory", by="ann", reason="maintenance")
    service.remember("tea", "green")
    assert value(CIRCUIT_STATE) == shown


def test_a_scrape_sees_circuits_that_this_process_does_not_use(service: MemoryService, memory: MemoryServer) -> None:
    break_circuit(service, memory)
    process.close()
    CIRCUIT_STATE.clear()
    metrics._states.clear()
    metrics.refresh()
    assert value(CIRCUIT_STATE) == 1


def test_a_reset_is_seen_at_once(service: MemoryService, memory: MemoryServer) -> None:
    break_circuit(service, memory)
    MemoryService.reset_circuit_for_tenant("acme")
    assert value(CIRCUIT_STATE) == 0


def test_what_is_queued_is_counted_and_what_is_applied_no_more(service: MemoryService, memory: MemoryServer) -> None:
    memory.status = 503
    service.remember("tea", "green")
    service.remember("coffee", "black")
    assert value(OUTBOX_PENDING) == 2
    QueuedWrite.objects.all().delete()
    MemoryService._update_outbox_metric()
    assert value(OUTBOX_PENDING) == 0


def test_a_write_that_is_rolled_back_was_never_counted(service: MemoryService) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        service.remember("tea", "green")
        raise ZeroDivisionError
    assert value(OUTBOX_PENDING) is None
    with transaction.atomic():
        service.remember("tea", "green")
        assert value(OUTBOX_PENDING) is None
    assert value(OUTBOX_PENDING) == 1


def test_the_count_is_set_for_one_tenant_found_for_one_or_found_for_all(
    backend: HttpMemoryBackend, memory: MemoryServer
) -> None:
    memory.status = 503
    for tenant_id, number in (("acme", 2), ("globex", 1)):
        for each in range(number):
            MemoryService(backend, tenant_id).remember(f"tea-{each}", each)
    MemoryService._update_outbox_metric("acme", 5)
    assert (value(OUTBOX_PENDING), value(OUTBOX_PENDING, "globex")) == (5, 1)
    MemoryService._update_outbox_metric("acme")
    assert value(OUTBOX_PENDING) == 2
    OUTBOX_PENDING.clear()
    MemoryService._update_outbox_metric()
    assert (value(OUTBOX_PENDING), value(OUTBOX_PENDING, "globex")) == (2, 1)


def test_tenants_beyond_the_first_have_no_line_unless_they_are_in_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LABELLED_TENANTS", 1)
    for tenant_id, state in (("a", "closed"), ("b", "closed"), ("c", "open")):
        metrics.report_circuit(tenant_id, state)
    assert [value(CIRCUIT_STATE, tenant_id) for tenant_id in "abc"] == [0, None, 1]


def open_circuits(*tenants: str) -> None:
    for tenant_id in tenants:
        steering.force_open(tenant_id=tenant_id, name="memory", by="ann", reason="maintenance")


def test_a_circuit_behind_the_longest_list_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LABELLED_TENANTS", 2)
    open_circuits("a", "b", "c")
    for tenant_id, state in (("c", "open"), ("d", "open"), ("e", "half_open")):
        metrics.report_circuit(tenant_id, state)
    metrics.refresh()
    assert [value(CIRCUIT_STATE, tenant_id) for tenant_id in "abcde"] == [1, 1, 1, 0, 0]


def test_a_queue_behind_the_longest_ones_is_shown_as_it_is(
    backend: HttpMemoryBackend, memory: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "LABELLED_TENANTS", 2)
    memory.status = 503
    for tenant_id, number in (("a", 3), ("b", 3), ("c", 2), ("d", 1)):
        for each in range(number):
            MemoryService(backend, tenant_id).remember(f"tea-{each}", each)
    QueuedWrite.objects.filter(tenant_id="d").delete()
    metrics.refresh()
    assert [value(OUTBOX_PENDING, tenant_id) for tenant_id in "abcd"] == [3, 3, 2, 0]


def test_no_tenant_is_asked_for_by_name_where_the_list_has_all(
    service: MemoryService, memory: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    count = queue.counts

    def counts(**given: Any) -> dict[str, int]:
        asked.append(given)
        return count(**given)

    monkeypatch.setattr(queue, "counts", counts)
    break_circuit(service, memory)
    MemoryService._update_outbox_metric("globex", 7)
    metrics.refresh()
    assert asked == [{"limit": metrics.LABELLED_TENANTS}]
    assert (value(OUTBOX_PENDING), value(OUTBOX_PENDING, "globex")) == (5, 0)


def test_metrics_that_fail_cost_no_call_and_are_said_once(
    service: MemoryService, memory: MemoryServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such metric")

    for gauge in (metrics.CIRCUIT_STATE, metrics.OUTBOX_PENDING, metrics.REMEMBERED):
        monkeypatch.setattr(gauge, "labels", broken)
    assert not service.remember("tea", "green").queued
    assert service.recall("tea")
    break_circuit(service, memory)
    MemoryService._update_outbox_metric()
    MemoryService._update_outbox_metric("acme", 7)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "The memory's metrics are not up to date: RuntimeError no such metric"
    ]


def test_a_database_that_fails_costs_no_call_and_the_figure_stays(
    service: MemoryService, memory: MemoryServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def out(*_: Any, **__: Any) -> None:
        raise OperationalError("the database is out")

    memory.status = 503
    service.remember("tea", "green")
    monkeypatch.setattr(queue, "count", out)
    monkeypatch.setattr(queue, "counts", out)
    assert service.remember("coffee", "black").queued
    MemoryService._update_outbox_metric()
    MemoryService._update_outbox_metric("acme")
    assert value(OUTBOX_PENDING) == 1
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_figures_leave_the_callers_transaction_as_it_was(service: MemoryService) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 12345")
        MemoryService._update_outbox_metric()
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("12345ms",)


def test_nonsense_for_a_tenant_has_no_line_and_raises_nothing() -> None:
    MemoryService._update_outbox_metric("a b", 7)
    assert value(OUTBOX_PENDING, "a b") is None


@pytest.mark.django_db(transaction=True)
def test_a_scrape_shows_both(service: MemoryService, memory: MemoryServer, client: Client, settings: Settings) -> None:
    settings.DEBUG = True
    break_circuit(service, memory)
    text = client.get("/metrics").text
    assert 'memory_circuit_state{tenant_id="acme"} 1.0' in text
    assert 'memory_outbox_pending{tenant_id="acme"} 5.0' in text


def test_a_scrape_asks_the_database_no_more_often_than_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def counts(**given: Any) -> dict[str, int]:
        asked.append(given)
        return {}

    monkeypatch.setattr(queue, "counts", counts)
    metrics.refresh()
    metrics.refresh()
    assert len(asked) == 1
