"""What a memory has to be able to do for `MemoryService`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write of one key of a tenant."""

    tenant_id: str
    namespace: str
    key: str
    payload: Any
    version: int
    """Of two writes of a key, the one with the higher version is newer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is looked for, in one namespace of a tenant."""

    tenant_id: str
    namespace: str
    query: Any
    top_k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One thing remembered."""

    key: str
    payload: Any
    score: float | None = None


class MemoryBackend(Protocol):
    """A memory. `HttpMemoryBackend` is one.

    All of it raises `BackendRejected` for what is the caller's own fault, which says nothing about the memory; any
    other `Exception` is a failure of the memory. Every call ends within a time of the backend's own choosing.
    """

    def put(self, write: Write) -> int | None:
        """Keep it, unless a write of the key with the same or a higher version is kept: then do nothing.

        Only the memory can do that: a request that hung may arrive after the next one. Returns the version that is kept
        now. A memory that cannot say so returns None, and then nobody notices that a write came to nothing because a
        host's clock was wrong.
        """

    async def aput(self, write: Write) -> int | None: ...

    def search(self, question: Question) -> Sequence[Memory]:
        """At most `top_k` memories of this tenant and namespace, the best first."""

    async def asearch(self, question: Question) -> Sequence[Memory]: ...

    def ping(self) -> None:
        """Return if the memory could be asked now."""
