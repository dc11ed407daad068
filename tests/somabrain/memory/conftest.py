"""A memory on a real port, and circuits on a database that other sessions see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from circuits.process import process
from somabrain.memory import metrics, service
from somabrain.memory.http import HttpMemoryBackend
from tests.support import patience
from tests.support.memory_server import MemoryServer, serving


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[None]:
    """A process that knows no circuit, has said nothing and has no figures, before and after."""
    patience.have(settings)
    process.close()
    monkeypatch.setattr(metrics, "_states", {})
    monkeypatch.setattr(metrics, "_pending", {})
    monkeypatch.setattr(metrics, "_refreshed_at", float("-inf"))
    for gauge in (metrics.CIRCUIT_STATE, metrics.OUTBOX_PENDING):
        gauge.clear()
    for trouble in (metrics._trouble, service._no_database):
        trouble.is_over()
    yield
    process.close()


@pytest.fixture
def memory() -> Iterator[MemoryServer]:
    with serving() as server:
        yield server


@pytest.fixture
def backend(memory: MemoryServer) -> Iterator[HttpMemoryBackend]:
    found = HttpMemoryBackend(memory.url, timeout=30)
    yield found
    found.close()
