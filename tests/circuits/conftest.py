"""Circuits on a database that other sessions see: they use sessions of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from circuits.process import process
from tests.support import patience


@pytest.fixture(autouse=True)
def fresh_process(settings: Settings) -> Iterator[None]:
    """A process that knows no circuit, before and after. Where the machine stands still, it does not give up."""
    patience.have(settings)
    process.close()
    yield
    process.close()
