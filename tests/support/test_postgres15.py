"""The PostgreSQL 15 from Maven Central runs where the distribution has none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from somabrain.embedded.errors import MissingProgram
from tests import conftest
from tests.support import postgres15


@pytest.mark.pg15
def test_its_programs_run_without_those_of_the_distribution(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres15, "_DEBIAN", tmp_path)
    programs = conftest._need(postgres15.binaries)
    assert programs.is_relative_to(postgres15._HOME)
    for name in ("initdb", "pg_ctl", "postgres"):
        done = subprocess.run([programs / name, "--version"], capture_output=True, text=True, check=True)
        assert " (PostgreSQL) 15." in done.stdout


@pytest.mark.parametrize(("setting", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_continuous_integration_does_not_do_without_a_server(
    monkeypatch: pytest.MonkeyPatch, setting: str, outcome: type[BaseException]
) -> None:
    def missing() -> Path:
        raise MissingProgram("mvn", package="maven")

    monkeypatch.setenv("CI", setting)
    with pytest.raises(outcome, match="mvn"):
        conftest._need(missing)
