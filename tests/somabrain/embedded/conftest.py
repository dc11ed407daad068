"""The embedded servers belong to a checkout: these tests work in one of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from somabrain.embedded.paths import CHECKOUT
from tests.support.processes import clean_environment

# The first start of PostgreSQL in a checkout is among it.
HANG_SECONDS = 240
_CODE = ("somabrain", "outbox", "circuits")


@dataclass(kw_only=True)
class Checkout:
    """A copy of the code, and the processes that run in it."""

    path: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A Python process that writes to us and can be talked to."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.path,
            env={**clean_environment(), "PYTHONPATH": str(self.path), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A Python process, and what became of it."""
        process = self.start(*arguments)
        output, errors = process.communicate(timeout=HANG_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def postgres(self) -> list[psutil.Process]:
        """The processes of PostgreSQL that work on this checkout's data."""
        return [each for each in psutil.process_iter() if _works_below(each, self.path)]

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()
        self.running.clear()
        self.run("-m", "somabrain.embedded.clean")


def _works_below(process: psutil.Process, path: Path) -> bool:
    try:
        return process.name() == "postgres" and path in Path(process.cwd()).parents
    except psutil.Error:
        return False


class MakeCheckout(Protocol):
    def __call__(self, name: str = ...) -> Checkout: ...


@pytest.fixture
def make_checkout() -> Iterator[MakeCheckout]:
    """Make a checkout of this name in which no server has run yet."""
    with _directory() as home:
        made = []

        def make(name: str = "checkout") -> Checkout:
            made.append(_copy_code(home / name))
            return made[-1]

        yield make
        for each in made:
            each.close()


@pytest.fixture
def fresh_checkout(make_checkout: MakeCheckout) -> Checkout:
    return make_checkout()


@pytest.fixture
def checkout(_used_checkout: Checkout) -> Iterator[Checkout]:
    """A checkout whose servers do not run, but may have done so before."""
    yield _used_checkout
    _used_checkout.close()


@pytest.fixture(scope="session")
def _used_checkout() -> Iterator[Checkout]:
    """One for all, since PostgreSQL takes seconds to initialise its data."""
    with _directory() as home:
        yield _copy_code(home / "checkout")


@contextmanager
def _directory() -> Iterator[Path]:
    """Not below pytest's own, which no other user can enter: under root, PostgreSQL runs as one."""
    home = Path(tempfile.mkdtemp(prefix="somabrain-"))
    yield home
    shutil.rmtree(home)


def _copy_code(path: Path) -> Checkout:
    for each in _CODE:
        shutil.copytree(CHECKOUT / each, path / each, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "manage.py", path)
    return Checkout(path=path)
