"""Circuits on a database that other sessions see: they use sessions of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from circuits.process import process


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """A process that knows no circuit, before and after."""
    process.close()
    yield
    process.close()
