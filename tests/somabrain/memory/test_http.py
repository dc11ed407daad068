"""A real memory over HTTP, and all the ways in which it may fail."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pytest_django import Settings

from somabrain.memory import http
from somabrain.memory.backend import Question, Write
from somabrain.memory.errors import BackendFailed, BackendRejected, InvalidSetting
from somabrain.memory.http import HttpMemoryBackend
from tests.support.memory_server import MemoryServer

Ask = Callable[[HttpMemoryBackend], Any]


def write(key: str = "tea", payload: Any = "green", version: int = 1) -> Write:
    return Write(tenant_id="acme", namespace="notes:acme", key=key, payload=payload, version=version)


QUESTION = Question(tenant_id="acme", namespace="notes:acme", query="te", top_k=2)


def in_a_loop(ask: Callable[[HttpMemoryBackend], Coroutine[Any, Any, Any]]) -> Ask:
    async def run(backend: HttpMemoryBackend) -> Any:
        try:
            return await ask(backend)
        finally:
            await backend.aclose()

    return lambda backend: asyncio.run(run(backend))


puts = pytest.mark.parametrize(
    "put", [lambda backend: backend.put(write()), in_a_loop(lambda backend: backend.aput(write()))], ids=["put", "aput"]
)
searches = pytest.mark.parametrize(
    "search",
    [lambda backend: backend.search(QUESTION), in_a_loop(lambda backend: backend.asearch(QUESTION))],
    ids=["search", "asearch"],
)


@puts
@searches
def test_what_was_put_is_found(memory: MemoryServer, backend: HttpMemoryBackend, put: Ask, search: Ask) -> None:
    put(backend)
    assert memory.kept == {("acme", "notes:acme", "tea"): (1, "green")}
    (found,) = search(backend)
    assert (found.key, found.payload, found.score) == ("tea", "green", 1.0)


def test_no_more_than_was_asked_for_is_found(backend: HttpMemoryBackend) -> None:
    for key in ("tea", "team", "teapot"):
        backend.put(write(key))
    assert [each.key for each in backend.search(QUESTION)] == ["tea", "team"]


def test_an_older_write_changes_nothing_and_is_no_error(memory: MemoryServer, backend: HttpMemoryBackend) -> None:
    backend.put(write(payload="new", version=2))
    backend.put(write(payload="old", version=1))
    assert memory.kept[("acme", "notes:acme", "tea")] == (2, "new")


@puts
@pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 422])
def test_what_the_caller_did_wrong_is_rejected(
    memory: MemoryServer, backend: HttpMemoryBackend, put: Ask, status: int
) -> None:
    memory.status = status
    with pytest.raises(BackendRejected) as rejection:
        put(backend)
    assert rejection.value.code == f"http_{status}"
    assert "as it was told" in str(rejection.value)


@puts
@pytest.mark.parametrize("status", [204, 302, 401, 403, 408, 429, 500, 502, 503, 504])
def test_what_is_not_the_callers_fault_is_a_failure(
    memory: MemoryServer, backend: HttpMemoryBackend, put: Ask, status: int
) -> None:
    memory.status = status
    if status == 204:
        memory.body = b""
    with pytest.raises(BackendFailed) as failure:
        put(backend)
    assert failure.value.code == ("bad_answer" if status == 204 else f"http_{status}")


@puts
@pytest.mark.parametrize(
    "body", [b"<html>welcome</html>", b"", b"[]", b"{}", b'{"version": 0}', b'{"version": true}', b"\xff"]
)
def test_rubbish_is_a_failure_although_it_says_200(
    memory: MemoryServer, backend: HttpMemoryBackend, put: Ask, body: bytes
) -> None:
    memory.body = body
    with pytest.raises(BackendFailed) as failure:
        put(backend)
    assert failure.value.code == "bad_answer"


@searches
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"memories": 7}',
        b'{"memories": [7]}',
        b'{"memories": [{"key": 1, "payload": 2}]}',
        b'{"memories": [{"key": "tea"}]}',
        b'{"memories": [{"key": "tea", "payload": 1, "score": "high"}]}',
        b'{"memories": [{"key": "tea", "payload": 1, "tenant_id": "globex"}]}',
        b'{"memories": [{"key": "tea", "payload": 1, "namespace": "letters:acme"}]}',
    ],
)
def test_rubbish_and_what_is_anothers_is_not_found(
    memory: MemoryServer, backend: HttpMemoryBackend, search: Ask, body: bytes
) -> None:
    memory.body = body
    with pytest.raises(BackendFailed) as failure:
        search(backend)
    assert failure.value.code == "bad_answer"


@puts
def test_a_memory_that_hangs_is_left_after_the_time_out(memory: MemoryServer, put: Ask) -> None:
    memory.hangs.add("acme")
    backend = HttpMemoryBackend(memory.url, timeout=0.1)
    with pytest.raises(BackendFailed) as failure:
        put(backend)
    assert failure.value.code == "timeout"
    backend.close()


@puts
def test_an_answer_that_never_ends_is_left_after_the_time_out(memory: MemoryServer, put: Ask) -> None:
    memory.drips = True
    backend = HttpMemoryBackend(memory.url, timeout=0.2)
    with pytest.raises(BackendFailed) as failure:
        put(backend)
    assert failure.value.code == "timeout"
    backend.close()


def test_a_memory_that_says_that_it_is_well_for_ever_is_well(memory: MemoryServer) -> None:
    memory.drips = True
    backend = HttpMemoryBackend(memory.url, timeout=30)
    backend.ping()
    memory.status = 503
    with pytest.raises(BackendFailed, match="http_503"):
        backend.ping()
    backend.close()


@puts
def test_an_answer_without_measure_is_no_answer(
    memory: MemoryServer, backend: HttpMemoryBackend, put: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 100)
    memory.body = b" " * 101
    with pytest.raises(BackendFailed) as failure:
        put(backend)
    assert failure.value.code == "bad_answer"


@puts
def test_a_memory_that_is_not_there_is_a_failure(put: Ask) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        backend = HttpMemoryBackend(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(BackendFailed) as failure:
            put(backend)
    assert failure.value.code == "transport"
    backend.close()


def test_a_call_that_finds_no_free_connection_is_a_failure(memory: MemoryServer) -> None:
    memory.hangs.add("acme")
    backend = HttpMemoryBackend(memory.url, timeout=0.2, connections=1)

    async def both() -> list[BackendFailed]:
        asked = [asyncio.ensure_future(backend.aput(write())) for _ in range(2)]
        done = await asyncio.gather(*asked, return_exceptions=True)
        await backend.aclose()
        return [each for each in done if isinstance(each, BackendFailed)]

    assert len(asyncio.run(both())) == 2


def test_connections_are_kept(memory: MemoryServer, backend: HttpMemoryBackend) -> None:
    for number in range(5):
        backend.put(write(version=number + 1))
    assert len(memory.connections) == 1


def test_a_forked_process_has_connections_of_its_own(memory: MemoryServer, backend: HttpMemoryBackend) -> None:
    backend.put(write(version=1))
    child = os.fork()
    if not child:
        try:
            backend.put(write(version=2))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    backend.put(write(version=3))
    assert len(memory.writes) == 3
    assert len(memory.connections) == 2


def test_a_token_is_sent(memory: MemoryServer) -> None:
    backend = HttpMemoryBackend(memory.url, token="sesame")
    backend.put(write())
    assert memory.headers[0]["Authorization"] == "Bearer sesame"
    backend.close()


def test_proxies_of_the_environment_are_left_alone(
    memory: MemoryServer, backend: HttpMemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    backend.put(write())
    assert memory.writes


def test_a_memory_that_is_well_says_so(memory: MemoryServer, backend: HttpMemoryBackend) -> None:
    backend.ping()
    memory.status = 503
    with pytest.raises(BackendFailed, match="http_503"):
        backend.ping()


def test_the_settings_name_the_memory(memory: MemoryServer, settings: Settings) -> None:
    settings.MEMORY_URL, settings.MEMORY_TOKEN = f"{memory.url}/", "sesame"
    backend = HttpMemoryBackend.from_settings()
    backend.put(write())
    assert memory.asked[0][0] == "/v1/remember"
    backend.close()


def test_without_a_url_there_is_no_memory(settings: Settings) -> None:
    settings.MEMORY_URL = ""
    with pytest.raises(InvalidSetting, match="MEMORY_URL=''"):
        HttpMemoryBackend.from_settings()
