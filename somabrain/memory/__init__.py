"""A tenant's memory: what it remembers is never lost, and no tenant's trouble is another's."""

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
from somabrain.memory.http import HttpMemoryBackend
from somabrain.memory.metrics import CIRCUIT_STATE, OUTBOX_PENDING
from somabrain.memory.results import Health, Remembered
from somabrain.memory.service import MemoryService
from somabrain.memory.status import CircuitStatus

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
