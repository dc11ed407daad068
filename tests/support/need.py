"""Tools that a laptop may lack."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn, TypeVar

import pytest

from somabrain.embedded.errors import MissingProgram

T = TypeVar("T")


def need(make: Callable[[], T]) -> T:
    """What it makes. Where a program is missing the test is skipped, in continuous integration it fails."""
    try:
        return make()
    except MissingProgram as missing:
        _do_without(str(missing))


def _do_without(reason: str) -> NoReturn:
    """A laptop may lack a tool; in continuous integration nothing is left untested."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
