"""A tenant's memory: what it remembers is never lost, and no tenant's trouble is another's."""

from typing import TYPE_CHECKING, Any

from circuits.api import CircuitOpen
from somabrain.memory.backend import Memory, MemoryBackend, Question, Write
from somabrain.memory.errors import (
    BackendFailed,
    BackendRejected,
    InvalidArgument,
    MemoryServiceError,
    NotRemembered,
    Overtaken,
)
from somabrain.memory.metrics import CIRCUIT_STATE, OUTBOX_PENDING
from somabrain.memory.results import Health, Remembered
from somabrain.memory.service import MemoryService
from somabrain.memory.status import CircuitStatus

if TYPE_CHECKING:
    from somabrain.memory.http import HttpMemoryBackend

__all__ = [
    "CIRCUIT_STATE",
    "OUTBOX_PENDING",
    "BackendFailed",
    "BackendRejected",
    "CircuitOpen",
    "CircuitStatus",
    "Health",
    "HttpMemoryBackend",
    "InvalidArgument",
    "Memory",
    "MemoryBackend",
    "MemoryService",
    "MemoryServiceError",
    "NotRemembered",
    "Overtaken",
    "Question",
    "Remembered",
    "Write",
]


def __getattr__(name: str) -> Any:
    """Relays and commands load no HTTP client, which takes them a tenth of their start."""
    if name != "HttpMemoryBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from somabrain.memory.http import HttpMemoryBackend

    return HttpMemoryBackend
