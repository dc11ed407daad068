"""What becomes of writes and questions, on a real database and before a real memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections, transaction

from circuits.models import CircuitTransition, TenantCircuit
from outbox.enqueueing import admission
from outbox.errors import BacklogFull
from outbox.models import EventStatus, OutboxEvent
from somabrain.memory import (
    BackendFailed,
    BackendRejected,
    CircuitOpen,
    HttpMemoryBackend,
    InvalidArgument,
    MemoryService,
    NotRemembered,
    Overtaken,
    Remembered,
    queue,
)
from somabrain.memory import service as service_module
from somabrain.memory.queue import Standing
from somabrain.models import QueuedWrite
from tests.somabrain.memory.marks import on_database
from tests.support.memory_server import MemoryServer
from tests.support.sessions import sessions

pytestmark = on_database

Remember = Callable[[MemoryService, str, Any], Remembered]
Recall = Callable[[MemoryService, str], Any]


def _aremember(service: MemoryService, key: str, payload: Any) -> Remembered:
    result: Remembered = asyncio.run(_and_close(service, service.aremember(key, payload)))
    return result


def _arecall(service: MemoryService, query: str) -> Any:
    return asyncio.run(_and_close(service, service.arecall(query)))


async def _and_close(service: MemoryService, call: Any) -> Any:
    try:
        return await call
    finally:
        await service._backend.aclose()  # type: ignore[attr-defined]
        # Synchronous code runs in a thread of its own, on a connection of its own.
        await sync_to_async(connections.close_all)()


both = pytest.mark.parametrize(
    "remember", [lambda service, key, payload: service.remember(key, payload), _aremember], ids=["sync", "async"]
)
both_ways = pytest.mark.parametrize(
    "recall", [lambda service, query: service.recall(query), _arecall], ids=["sync", "async"]
)


@pytest.fixture
def service(backend: HttpMemoryBackend) -> MemoryService:
    return MemoryService(backend, "acme")


def trip(service: MemoryService, memory: MemoryServer) -> None:
    """Open the circuit."""
    memory.tenant_status[service.tenant_id] = 503
    while service.get_circuit_state()["state"] != "open":
        with pytest.raises(BackendFailed):
            service.recall("")
    memory.tenant_status.clear()


def wrong_clock(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """This host's, by so much."""
    right = service_module._host_time
    monkeypatch.setattr(service_module, "_host_time", lambda: right() + seconds * 1_000_000)


def failures(tenant_id: str = "acme") -> int:
    return sum(TenantCircuit.objects.filter(tenant_id=tenant_id).values_list("failures", flat=True))


@both
def test_a_memory_that_works_has_it_at_once(service: MemoryService, memory: MemoryServer, remember: Remember) -> None:
    result = remember(service, "tea", {"kind": "green"})
    assert (result.queued, result.event_id) == (False, None)
    assert memory.kept == {("acme", "acme", "tea"): (result.version, {"kind": "green"})}
    assert not OutboxEvent.objects.exists()
    assert not TenantCircuit.objects.exists()


@both
def test_a_write_that_fails_is_queued(service: MemoryService, memory: MemoryServer, remember: Remember) -> None:
    memory.status = 503
    result = remember(service, "tea", {"kind": "green"})
    event = OutboxEvent.objects.get()
    assert (result.queued, result.event_id) == (True, event.pk)
    assert (event.topic, event.tenant_id, event.partition_key) == ("memory.remember", "acme", "acme:tea")
    assert event.payload == {"namespace": "acme", "key": "tea", "payload": {"kind": "green"}, "version": result.version}
    assert QueuedWrite.objects.get().event_id == event.pk
    assert failures() == 1


@both
def test_a_write_before_an_open_circuit_is_queued_without_a_call(
    service: MemoryService, memory: MemoryServer, remember: Remember
) -> None:
    trip(service, memory)
    asked = len(memory.asked)
    assert remember(service, "tea", "green").queued
    assert len(memory.asked) == asked


@both_ways
def test_a_question_before_an_open_circuit_says_when_to_come_again(
    service: MemoryService, memory: MemoryServer, recall: Recall
) -> None:
    trip(service, memory)
    with pytest.raises(CircuitOpen) as refusal:
        recall(service, "tea")
    assert 0 < refusal.value.retry_after <= 30


@both_ways
def test_what_is_remembered_is_recalled(service: MemoryService, recall: Recall) -> None:
    service.remember("tea", "green")
    service.remember("coffee", "black")
    assert [(each.key, each.payload) for each in recall(service, "tea")] == [("tea", "green")]


@both
@pytest.mark.parametrize("status", [400, 404])
def test_what_the_caller_did_wrong_is_raised_and_counts_nothing(
    service: MemoryService, memory: MemoryServer, remember: Remember, status: int
) -> None:
    memory.status = status
    for _ in range(6):
        with pytest.raises(BackendRejected):
            remember(service, "tea", "green")
        with pytest.raises(BackendRejected):
            service.recall("tea")
    assert not OutboxEvent.objects.exists()
    assert not TenantCircuit.objects.exists()


@pytest.mark.parametrize(("status", "code"), [(500, "http_500"), (429, "http_429")])
def test_the_history_says_how_the_memory_failed(
    service: MemoryService, memory: MemoryServer, status: int, code: str
) -> None:
    memory.status = status
    for number in range(5):
        service.remember(f"tea-{number}", "green")
    transition = CircuitTransition.objects.get()
    assert (transition.to_state, transition.error_code) == ("open", code)


@both
def test_a_backend_that_raises_anything_loses_no_write(remember: Remember, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(HttpMemoryBackend):
        def put(self, *_: Any) -> int:
            raise ZeroDivisionError

        async def aput(self, *_: Any) -> int:
            raise ZeroDivisionError

    assert remember(MemoryService(Broken("http://127.0.0.1:9"), "acme"), "tea", "green").queued
    assert "ZeroDivisionError" in caplog.text


@both
def test_later_writes_of_a_key_wait_behind_one_that_is_queued(
    service: MemoryService, memory: MemoryServer, remember: Remember
) -> None:
    memory.status = 503
    first = remember(service, "tea", "green")
    memory.status = 200
    asked = len(memory.asked)
    second = remember(service, "tea", "black")
    assert second.queued
    assert second.version > first.version
    assert len(memory.asked) == asked
    assert not remember(service, "coffee", "black").queued


def test_once_a_queued_write_is_applied_the_next_goes_straight(service: MemoryService, memory: MemoryServer) -> None:
    memory.status = 503
    service.remember("tea", "green")
    memory.status = 200
    QueuedWrite.objects.all().delete()
    assert not service.remember("tea", "black").queued


def test_a_write_is_newer_than_any_before_it_even_if_the_clock_is_not(
    service: MemoryService, memory: MemoryServer
) -> None:
    memory.status = 503
    service.remember("tea", "green")
    QueuedWrite.objects.update(version=2**60)
    assert service.remember("tea", "black").version == 2**60 + 1


def test_nobody_waits_behind_a_write_that_was_discarded_or_rejected(
    service: MemoryService, memory: MemoryServer
) -> None:
    memory.status = 503
    service.remember("tea", "green")
    service.remember("coffee", "black")
    memory.status = 200
    OutboxEvent.objects.filter(partition_key="acme:tea").update(status=EventStatus.DISCARDED)
    queue.reject(QueuedWrite.objects.get(key="coffee").event_id, "no coffee")
    assert not service.remember("tea", "white").queued
    assert not service.remember("coffee", "white").queued
    assert not QueuedWrite.objects.exists(), "what was left is outdated"


def test_inside_a_transaction_a_write_is_committed_with_it(service: MemoryService, memory: MemoryServer) -> None:
    with transaction.atomic():
        result = service.remember("tea", "green")
        with sessions(1) as (other,):
            assert other.do(OutboxEvent.objects.count) == 0
    assert result.queued
    assert OutboxEvent.objects.get().pk == QueuedWrite.objects.get().event_id == result.event_id
    assert memory.asked == []


def test_a_rollback_takes_a_queued_write_back(service: MemoryService, memory: MemoryServer) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert service.remember("tea", "green").queued
        raise ZeroDivisionError
    assert not OutboxEvent.objects.exists()
    assert not QueuedWrite.objects.exists()
    assert memory.asked == []
    assert not service.remember("tea", "black").queued, "nothing waits"


def test_outside_of_a_transaction_a_queued_write_stays_whatever_comes_after(
    service: MemoryService, memory: MemoryServer
) -> None:
    memory.status = 503
    service.remember("tea", "green")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        OutboxEvent.objects.create(topic="orders", dedupe_key="a", payload={})
        raise ZeroDivisionError
    assert OutboxEvent.objects.get().topic == "memory.remember"


def test_a_savepoint_that_is_rolled_back_takes_its_writes_alone(service: MemoryService) -> None:
    with transaction.atomic():
        service.remember("tea", "green")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            service.remember("coffee", "black")
            raise ZeroDivisionError
    assert QueuedWrite.objects.get().key == "tea"


def test_inside_a_transaction_its_own_writes_are_seen(service: MemoryService) -> None:
    with transaction.atomic():
        first, second = service.remember("tea", "green"), service.remember("tea", "black")
    assert first.version < second.version


def test_without_autocommit_a_write_is_the_callers_to_commit(service: MemoryService, memory: MemoryServer) -> None:
    transaction.set_autocommit(False)
    try:
        assert service.remember("tea", "green").queued
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert not QueuedWrite.objects.exists()
    assert memory.asked == []


def test_failures_count_although_nothing_else_of_the_request_is_kept(
    service: MemoryService, memory: MemoryServer
) -> None:
    memory.status = 503
    with pytest.raises(BackendFailed), transaction.atomic():
        service.recall("tea")
    assert failures() == 1


def test_no_tenant_reads_or_writes_anothers_memory(backend: HttpMemoryBackend, memory: MemoryServer) -> None:
    acme, globex = (MemoryService(backend, "notes", tenant_id=each) for each in ("acme", "globex"))
    acme.remember("tea", "acme's")
    globex.remember("tea", "globex's")
    assert [each.payload for each in acme.recall("tea")] == ["acme's"]
    assert [each.payload for each in globex.recall("tea")] == ["globex's"]
    assert {(body["tenant_id"], body["namespace"]) for _, body in memory.asked} == {
        ("acme", "notes"),
        ("globex", "notes"),
    }


def test_no_namespace_reads_anothers_memory(backend: HttpMemoryBackend) -> None:
    MemoryService(backend, "notes:acme").remember("tea", "a note")
    assert list(MemoryService(backend, "letters:acme").recall("tea")) == []


def test_one_tenants_trouble_is_not_anothers(backend: HttpMemoryBackend, memory: MemoryServer) -> None:
    acme, globex = MemoryService(backend, "acme"), MemoryService(backend, "globex")
    trip(acme, memory)
    assert acme.remember("tea", "green").queued
    assert not globex.remember("tea", "green").queued
    assert globex.recall("tea")
    assert not TenantCircuit.objects.filter(tenant_id="globex").exists()


@pytest.mark.parametrize(
    ("key", "payload", "field"),
    [
        ("", 1, "key"),
        ("k" * 191, 1, "key"),
        (7, 1, "key"),
        ("a\x00b", 1, "key"),
        ("tea", float("nan"), "payload"),
        ("tea", {"a": object()}, "payload"),
        ("tea", "x" * 1_000_000, "payload"),
    ],
)
def test_what_could_not_be_queued_is_refused_while_the_memory_works(
    service: MemoryService, memory: MemoryServer, key: Any, payload: Any, field: str
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        service.remember(key, payload)
    assert refusal.value.field.startswith(field)
    assert memory.asked == []


@pytest.mark.parametrize("top_k", [0, -1, 10_001, 1.5, True, "5"])
def test_top_k_is_a_number_of_results(service: MemoryService, top_k: Any) -> None:
    with pytest.raises(InvalidArgument, match="top_k="):
        service.recall("tea", top_k)


@both
def test_a_database_that_is_out_stops_no_write_to_a_memory_that_works(
    service: MemoryService,
    memory: MemoryServer,
    remember: Remember,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = service.remember("tea", "green").version
    monkeypatch.setattr(queue, "look", _out)
    for _ in range(3):
        result = remember(service, "tea", "black")
        assert (result.queued, result.version > before) == (False, True)
    assert memory.payload("tea") == "black"
    assert [record.levelno for record in caplog.records if record.name.startswith("somabrain")] == [logging.WARNING]


@both
@pytest.mark.parametrize("seconds", [-3_600, 3_600], ids=["slow", "fast"])
def test_a_host_whose_clock_is_wrong_loses_no_write_while_the_database_is_out(
    service: MemoryService, memory: MemoryServer, remember: Remember, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    before = service.remember("tea", "green").version
    wrong_clock(monkeypatch, seconds)
    with monkeypatch.context() as outage:
        outage.setattr(queue, "look", _out)
        results = [remember(service, "tea", payload) for payload in ("black", "white")]
        assert memory.payload("tea") == "white"
    versions = [before, *(result.version for result in results), remember(service, "tea", "red").version]
    assert memory.kept[("acme", "acme", "tea")] == (versions[-1], "red")
    assert versions == sorted(set(versions))
    assert not any(result.queued for result in results)


@both
def test_a_write_that_is_made_once_more_and_fails_is_queued_as_what_it_became(
    service: MemoryService, memory: MemoryServer, remember: Remember
) -> None:
    memory.kept[("acme", "acme", "tea")] = (2**60, "of a clock that was fast")
    memory.statuses = [200, 503]
    result = remember(service, "tea", "green")
    assert (result.queued, result.version) == (True, 2**60 + 1)
    assert QueuedWrite.objects.get().version == 2**60 + 1
    assert failures() == 1


@both
def test_a_write_that_the_memory_ignores_twice_is_an_error_and_not_stored(
    service: MemoryService, memory: MemoryServer, remember: Remember
) -> None:
    memory.ahead = 2**60
    with pytest.raises(Overtaken, match="ignored the write twice"):
        remember(service, "tea", "green")
    first, second = (write["version"] for write in memory.writes)
    assert second == first + 2**60 + 1
    assert not QueuedWrite.objects.exists()


@both
def test_a_write_that_was_begun_meanwhile_is_newer_and_stays(
    service: MemoryService, memory: MemoryServer, remember: Remember, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: list[Remembered] = []
    look = queue.look

    def slowly(place: queue.Place) -> Standing:
        standing = look(place)
        if not later:
            later.append(Remembered(queued=False, event_id=None, version=0))
            later.append(service.remember("tea", "newer"))
        return standing

    monkeypatch.setattr(queue, "look", slowly)
    assert not remember(service, "tea", "older").queued
    assert memory.kept[("acme", "acme", "tea")] == (later[-1].version, "newer")
    assert len(memory.writes) == 2


def test_a_session_that_was_cut_costs_no_write_and_the_next_one_has_another(
    service: MemoryService, memory: MemoryServer, caplog: pytest.LogCaptureFixture
) -> None:
    service.remember("tea", "green")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    with sessions(1) as (other,):
        other.execute(f"SELECT pg_terminate_backend({pid}, 10000)")
    assert not service.remember("tea", "black").queued
    assert "The database cannot say what waits" in caplog.text
    memory.status = 503
    assert service.remember("tea", "white").queued
    assert QueuedWrite.objects.get().key == "tea"


@both
def test_a_write_that_nobody_took_is_an_error(
    service: MemoryService, memory: MemoryServer, remember: Remember, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.status = 503
    monkeypatch.setattr(queue, "add", _out)
    with pytest.raises(NotRemembered, match="Try again later"):
        remember(service, "tea", "green")


@pytest.mark.parametrize("inside", [False, True])
def test_a_queue_that_is_full_is_said_and_the_transaction_goes_on(
    service: MemoryService, memory: MemoryServer, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    def refuse(**_: Any) -> None:
        raise BacklogFull("acme", 7, 5, datetime.now(UTC))

    memory.status = 503
    monkeypatch.setattr(admission, "admit", refuse)
    with transaction.atomic() if inside else nullcontext():
        with pytest.raises(NotRemembered, match="backlog_limit is 5"):
            service.remember("tea", "green")
        assert not OutboxEvent.objects.exists()


def test_concurrent_writes_of_a_key_leave_the_newest(backend: HttpMemoryBackend, memory: MemoryServer) -> None:
    service = MemoryService(backend, "acme")
    with sessions(4) as others:
        started = [other.start(service.remember, "tea", number) for number, other in enumerate(others * 5)]
        results = [each.result(60) for each in started]
    newest = max(each.version for each in results)
    # Two that have begun in the same microsecond are equally new.
    winners = [(newest, number) for number, each in enumerate(results) if each.version == newest]
    assert memory.kept[("acme", "acme", "tea")] in winners


def test_health_says_how_the_memory_is(service: MemoryService, memory: MemoryServer) -> None:
    found = service.health()
    assert (found.ok, found.backend, found.circuit, found.waiting) == (True, "ok", "closed", 0)
    memory.status = 503
    service.remember("tea", "green")
    found = service.health()
    assert (found.ok, found.waiting) == (False, 1)
    assert "http_503" in found.backend
    memory.status = 200
    trip(service, memory)
    found = service.health()
    assert (found.ok, found.backend, found.circuit, found.retry_after > 0) == (False, "ok", "open", True)


def test_asking_for_the_health_counts_nothing(service: MemoryService, memory: MemoryServer) -> None:
    memory.status = 503
    for _ in range(6):
        service.health()
    assert service.get_circuit_state()["failure_count"] == 0


def _out(*_: Any) -> Standing:
    raise OperationalError("the database is out")
