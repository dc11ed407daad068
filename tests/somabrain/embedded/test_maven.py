from __future__ import annotations

import threading
from pathlib import Path

import pytest

from somabrain.embedded import maven
from somabrain.embedded.errors import EmbeddedServerError, MissingProgram

# Leaves one file behind for each call, and puts the project it was given where the jars belong.
FAKE = """#!/bin/sh
echo call >> "$(dirname "$0")/calls"
for word in "$@"; do
    case "$word" in
        -DoutputDirectory=*) target="${word#*=}" ;;
        *pom.xml) project="$word" ;;
    esac
done
mkdir "$target" && cp "$project" "$target/thing.jar"
"""
BROKEN = """#!/bin/sh
echo "[ERROR] no such artifact"
exit 1
"""


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(maven, "_HOME", tmp_path / "maven")
    return programs


def install(programs: Path, script: str) -> None:
    (programs / "mvn").write_text(script)
    (programs / "mvn").chmod(0o755)


def fetch() -> Path:
    return maven.jars("org.example:thing:1.0", "org.example:other:2.0", name="thing-1.0")


def test_artifacts_are_fetched_once_however_many_ask(programs: Path) -> None:
    install(programs, FAKE)
    askers = [threading.Thread(target=fetch) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert (fetch() / "thing.jar").exists()
    assert (programs / "calls").read_text() == "call\n"


def test_the_project_names_what_is_wanted(programs: Path) -> None:
    install(programs, FAKE)
    project = (fetch() / "thing.jar").read_text()
    assert "<artifactId>thing</artifactId><version>1.0</version>" in project
    assert "<artifactId>other</artifactId><version>2.0</version>" in project


def test_a_failure_says_what_maven_said_and_leaves_nothing(programs: Path) -> None:
    install(programs, BROKEN)
    with pytest.raises(EmbeddedServerError, match="no such artifact"):
        fetch()
    install(programs, FAKE)
    assert (fetch() / "thing.jar").exists()


def test_a_missing_maven_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, programs: Path) -> None:
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(MissingProgram, match="apt-get install maven"):
        fetch()
