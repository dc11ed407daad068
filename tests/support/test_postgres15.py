"""The PostgreSQL 15 from Maven Central runs where the distribution has none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import postgres15
from tests.support.need import need


@pytest.mark.pg15
def test_its_programs_run_without_those_of_the_distribution(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres15, "_DEBIAN", tmp_path)
    programs = need(postgres15.binaries)
    assert programs.is_relative_to(postgres15._HOME)
    for name in ("initdb", "pg_ctl", "postgres"):
        done = subprocess.run([programs / name, "--version"], capture_output=True, text=True, check=True)
        assert " (PostgreSQL) 15." in done.stdout
