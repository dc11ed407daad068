"""A memory that is reached over HTTP.

| request | body | answer |
| --- | --- | --- |
| `POST /v1/remember` | `tenant_id`, `namespace`, `key`, `payload`, `version` | `{"version": ...}`, the one it has now |
| `POST /v1/recall` | `tenant_id`, `namespace`, `query`, `top_k` | `{"memories": [{"key", "payload", "score"}, ...]}` |
| `GET /health` | | any 2xx |

Bodies are JSON objects. `remember` keeps a write unless it has one of the key with the same or a higher version, and
answers the version that it has then, so that a repetition and a latecomer change nothing. `score` may be missing.
A token is sent as `Authorization: Bearer`.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import Any, Self
from weakref import WeakKeyDictionary

import httpx

from somabrain.memory import answers, conf
from somabrain.memory.backend import Memory, Question, Write
from somabrain.memory.errors import BackendFailed, InvalidSetting

MOST_BYTES = 64 * 1024 * 1024
"""A longer answer is no answer."""
_USER_AGENT = "somabrain-memory"


class HttpMemoryBackend:
    """Connections are pooled and kept. One object serves all threads, event loops and forked processes.

    `url`: where the memory is, such as `https://memory.example`.
    `timeout`: seconds that a call may take in all; `connect_timeout`: seconds of them for connecting.
    `connections`: most calls at once, of a process or an event loop; further ones wait for their turn.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        connections: int = 50,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"User-Agent": _USER_AGENT, "Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._seconds = timeout
        self._timeout = httpx.Timeout(timeout, connect=min(connect_timeout, timeout))
        self._limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._clients: dict[int, httpx.Client] = {}
        self._async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    @classmethod
    def from_settings(cls) -> Self:
        """The memory that `MEMORY_URL` names. Raises `InvalidSetting`."""
        settings = conf.get()
        if not settings.url:
            raise InvalidSetting("MEMORY_URL", settings.url, "must name the memory")
        return cls(
            settings.url,
            token=settings.token,
            timeout=settings.timeout,
            connect_timeout=settings.connect_timeout,
            connections=settings.connections,
        )

    def put(self, write: Write) -> int:
        return answers.kept(self._ask("/v1/remember", asdict(write)), write)

    async def aput(self, write: Write) -> int:
        return answers.kept(await self._aask("/v1/remember", asdict(write)), write)

    def search(self, question: Question) -> Sequence[Memory]:
        return answers.memories(self._ask("/v1/recall", asdict(question)), question)

    async def asearch(self, question: Question) -> Sequence[Memory]:
        return answers.memories(await self._aask("/v1/recall", asdict(question)), question)

    def ping(self) -> None:
        # The status says it all: a body may be as long, and take as long, as it likes.
        with _failures(), self._client().stream("GET", f"{self._url}/health") as response:
            pass
        if not response.is_success:
            raise BackendFailed(f"http_{response.status_code}", "it does not say that it is well")

    def close(self) -> None:
        """Close this process's connections; the next call makes new ones."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the running event loop's connections."""
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        deadline = time.monotonic() + self._seconds
        with _failures(), self._client().stream("POST", self._url + path, content=_encode(body)) as response:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                # A memory that sends a byte now and then would not meet a time-out of the client's.
                if time.monotonic() > deadline:
                    raise BackendFailed("timeout", f"its answer took longer than {self._seconds:g} s")
                _check_length(content)
        return answers.judge(response.status_code, bytes(content))

    async def _aask(self, path: str, body: dict[str, Any]) -> Any:
        async with self._afailures(), self._aclient().stream("POST", self._url + path, content=_encode(body)) as found:
            content = bytearray()
            async for chunk in found.aiter_bytes():
                content += chunk
                _check_length(content)
        return answers.judge(found.status_code, bytes(content))

    @asynccontextmanager
    async def _afailures(self) -> AsyncIterator[None]:
        try:
            with _failures():
                async with asyncio.timeout(self._seconds):
                    yield
        except TimeoutError as error:
            raise BackendFailed("timeout", f"its answer took longer than {self._seconds:g} s") from error

    def _client(self) -> httpx.Client:
        """A connection must not be shared with a process that was forked."""
        client = self._clients.get(os.getpid())
        if client is None:
            client = self._clients.setdefault(os.getpid(), httpx.Client(**self._options()))
        return client

    def _aclient(self) -> httpx.AsyncClient:
        """A connection belongs to one event loop."""
        loop = asyncio.get_running_loop()
        client = self._async_clients.get(loop)
        if client is None:
            client = self._async_clients[loop] = httpx.AsyncClient(**self._options())
        return client

    def _options(self) -> dict[str, Any]:
        """Where the memory is says MEMORY_URL alone: no proxy and no password comes from the environment."""
        return {
            "headers": self._headers,
            "timeout": self._timeout,
            "limits": self._limits,
            "trust_env": False,
            "verify": ssl.create_default_context(),
        }


@contextmanager
def _failures() -> Iterator[None]:
    """What goes wrong on the way, in our words."""
    try:
        yield
    except httpx.PoolTimeout as error:
        raise BackendFailed("busy", "all connections were in use") from error
    except httpx.TimeoutException as error:
        raise BackendFailed("timeout", type(error).__name__) from error
    except httpx.HTTPError as error:
        raise BackendFailed("transport", f"{type(error).__name__} {error}".strip()) from error


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def _check_length(content: bytearray) -> None:
    if len(content) > MOST_BYTES:
        raise BackendFailed("bad_answer", f"its answer is longer than {MOST_BYTES} bytes")
