"""Calls to the memory under the tenant's circuit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from circuits.api import Call, Circuit
from somabrain.memory.backend import Memory, MemoryBackend, Question, Write
from somabrain.memory.errors import BackendFailed, BackendRejected
from somabrain.memory.names import CIRCUIT


def circuit_of(tenant_id: str) -> Circuit:
    return Circuit(tenant_id=tenant_id, name=CIRCUIT, ignore=(BackendRejected,))


def put(circuit: Circuit, backend: MemoryBackend, write: Write) -> int:
    """The version that the memory has then. Raises `CircuitOpen`, and what the backend raises; so do all of these."""
    with circuit.call() as call, _told(call):
        kept = backend.put(write)
    return write.version if kept is None else kept


async def aput(circuit: Circuit, backend: MemoryBackend, write: Write) -> int:
    async with circuit.call() as call:
        with _told(call):
            kept = await backend.aput(write)
    return write.version if kept is None else kept


def search(circuit: Circuit, backend: MemoryBackend, question: Question) -> Sequence[Memory]:
    with circuit.call() as call, _told(call):
        return backend.search(question)


async def asearch(circuit: Circuit, backend: MemoryBackend, question: Question) -> Sequence[Memory]:
    async with circuit.call() as call:
        with _told(call):
            return await backend.asearch(question)


@contextmanager
def _told(call: Call) -> Iterator[None]:
    """The circuit's history says how the memory failed, not only that it did."""
    try:
        yield
    except BackendFailed as error:
        call.fail(error.code)
        raise
