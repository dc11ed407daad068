"""Circuits by the service's own methods, in one process and in two."""

from __future__ import annotations

import time
from typing import Any

import pytest

from circuits.errors import InvalidThreshold
from circuits.models import CircuitTransition, TenantCircuit
from circuits.process import process
from somabrain.memory import BackendFailed, CircuitOpen, HttpMemoryBackend, InvalidArgument, MemoryService
from tests.conftest import StartManage
from tests.somabrain.memory.marks import on_database
from tests.support.memory_server import MemoryServer
from tests.support.waiting import wait_until

pytestmark = on_database

FAIL_IN_ANOTHER_PROCESS = """
from somabrain.memory import HttpMemoryBackend, MemoryService
service = MemoryService(HttpMemoryBackend.from_settings(), "acme")
for number in range(5):
    assert service.remember(f"tea-{number}", number).queued
print("state", service.get_circuit_state()["state"])
"""


def fail(service: MemoryService, times: int) -> None:
    for _ in range(times):
        with pytest.raises(BackendFailed):
            service.recall("tea")


def is_let_through(service: MemoryService) -> bool:
    try:
        service.recall("tea")
    except CircuitOpen:
        return False
    return True


@pytest.fixture
def service(backend: HttpMemoryBackend) -> MemoryService:
    return MemoryService(backend, "acme")


def test_a_tenant_without_failures_has_a_closed_circuit_and_no_row(service: MemoryService) -> None:
    assert service.get_circuit_state() == {
        "tenant": "acme",
        "state": "closed",
        "circuit_open": False,
        "failure_count": 0,
        "last_failure_time": 0.0,
        "retry_after": 0.0,
        "failure_threshold": 5,
        "reset_interval": 30.0,
    }
    assert MemoryService.get_all_tenant_circuit_states() == {}
    assert not TenantCircuit.objects.exists()


def test_thresholds_of_one_tenant_are_its_own(backend: HttpMemoryBackend, memory: MemoryServer) -> None:
    MemoryService.configure_tenant_thresholds("acme", failure_threshold=2, reset_interval=120.0)
    acme, globex = MemoryService(backend, "acme"), MemoryService(backend, "globex")
    memory.status = 500
    fail(acme, 2)
    fail(globex, 2)
    with pytest.raises(CircuitOpen):
        acme.recall("tea")
    states = MemoryService.get_all_tenant_circuit_states()
    assert {tenant: state["circuit_open"] for tenant, state in states.items()} == {"acme": True, "globex": False}
    assert (states["acme"]["failure_threshold"], states["acme"]["reset_interval"]) == (2, 120.0)
    assert (states["globex"]["failure_threshold"], states["globex"]["failure_count"]) == (5, 2)
    assert states["acme"] | {"retry_after": 0} == acme.get_circuit_state() | {"retry_after": 0}
    assert states["acme"]["last_failure_time"] == pytest.approx(time.time(), abs=300)


def test_what_is_not_given_stays(service: MemoryService) -> None:
    MemoryService.configure_tenant_thresholds("acme", failure_threshold=2, reset_interval=7)
    MemoryService.configure_tenant_thresholds("acme", failure_threshold=3)
    MemoryService.configure_tenant_thresholds("acme")
    state = service.get_circuit_state()
    assert (state["failure_threshold"], state["reset_interval"]) == (3, 7.0)
    assert CircuitTransition.objects.count() == 2


def test_an_interval_longer_than_the_longest_moves_that_too(service: MemoryService) -> None:
    MemoryService.configure_tenant_thresholds("acme", reset_interval=3_600)
    assert service.get_circuit_state()["reset_interval"] == 3_600
    assert TenantCircuit.objects.get().max_reset_interval == 3_600


@pytest.mark.parametrize(
    "thresholds", [{"failure_threshold": 0}, {"failure_threshold": 1.5}, {"reset_interval": 0}, {"reset_interval": "7"}]
)
def test_a_threshold_that_cannot_be_is_refused(thresholds: dict[str, Any]) -> None:
    with pytest.raises(InvalidThreshold):
        MemoryService.configure_tenant_thresholds("acme", **thresholds)
    assert not TenantCircuit.objects.exists()


@pytest.mark.parametrize("tenant", ["", "*", "a b", None])
def test_a_tenant_that_cannot_be_one_is_refused(tenant: Any) -> None:
    with pytest.raises(InvalidArgument, match="tenant_id="):
        MemoryService.configure_tenant_thresholds(tenant, failure_threshold=1)
    with pytest.raises(InvalidArgument, match="tenant_id="):
        MemoryService.reset_circuit_for_tenant(tenant)


def test_a_reset_closes_the_circuit(service: MemoryService, memory: MemoryServer) -> None:
    memory.status = 500
    fail(service, 5)
    memory.status = 200
    MemoryService.reset_circuit_for_tenant("acme")
    service.recall("tea")
    assert (service.get_circuit_state()["circuit_open"], service.get_circuit_state()["failure_count"]) == (False, 0)


def test_a_reset_of_a_tenant_without_failures_does_nothing() -> None:
    MemoryService.reset_circuit_for_tenant("acme")
    assert not TenantCircuit.objects.exists()


def test_reading_a_state_changes_nothing(service: MemoryService, memory: MemoryServer) -> None:
    MemoryService.configure_tenant_thresholds("acme", failure_threshold=1, reset_interval=0.001)
    memory.status = 500
    fail(service, 1)
    wait_until(lambda: service.get_circuit_state()["state"] == "half_open")
    row = TenantCircuit.objects.values().get()
    for _ in range(3):
        service.get_circuit_state()
        MemoryService.get_all_tenant_circuit_states()
    assert TenantCircuit.objects.values().get() == row


def test_the_first_success_after_the_interval_closes_it(service: MemoryService, memory: MemoryServer) -> None:
    MemoryService.configure_tenant_thresholds("acme", failure_threshold=1, reset_interval=0.001)
    memory.status = 500
    fail(service, 1)
    memory.status = 200
    # The process's clock may be a moment behind the database's.
    wait_until(lambda: is_let_through(service))
    assert service.get_circuit_state()["state"] == "closed"


def test_without_the_database_the_state_is_what_the_process_knows(
    service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    from circuits.errors import StoreUnavailable

    def out(*_: Any) -> None:
        raise StoreUnavailable("The database is out.")

    monkeypatch.setattr(process, "read", out)
    assert service.get_circuit_state()["state"] == "closed"


def test_two_processes_see_one_state(start_manage: StartManage, service: MemoryService, memory: MemoryServer) -> None:
    assert list(service.recall("tea")) == []
    memory.status = 503
    other = start_manage("shell", "--no-imports", "-c", FAIL_IN_ANOTHER_PROCESS, env={"MEMORY_URL": memory.url})
    assert other.wait(timeout=120) == 0, other.output()
    assert "state open" in other.output()
    memory.status = 200
    asked = len(memory.asked)
    wait_until(lambda: service._circuit.state() == "open")
    with pytest.raises(CircuitOpen):
        service.recall("tea")
    assert service.remember("tea", "green").queued
    assert len(memory.asked) == asked
    assert service.get_circuit_state()["circuit_open"]
