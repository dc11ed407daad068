"""Artifacts from Maven Central, fetched once per checkout through the user's own Maven and its settings."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from somabrain.embedded import locks
from somabrain.embedded.errors import EmbeddedServerError, MissingProgram
from somabrain.embedded.paths import CACHE, private, publish

_HOME = CACHE / "maven"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_PROJECT = """\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>somabrain</groupId>
  <artifactId>download</artifactId>
  <version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""
_DEPENDENCY = """
    <dependency>
      <groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
    </dependency>
"""


def jars(*coordinates: str, name: str) -> Path:
    """A directory with artifacts (`group:artifact:version`) and all that they need at run time.

    Whatever has been fetched under that name is not fetched again; several processes may ask at once.
    """
    wanted = private(_HOME) / name
    if not wanted.exists():
        with locks.exclusive(_HOME / "mutex"):
            if not wanted.exists():
                _download(wanted, coordinates)
    return wanted


def program(name: str, *, package: str) -> str:
    """The path of a program that is needed. Raises `MissingProgram` with the package that has it."""
    found = shutil.which(name)
    if found is None:
        raise MissingProgram(name, package=package)
    return found


def _download(wanted: Path, coordinates: Sequence[str]) -> None:
    draft = wanted.with_name(f"{wanted.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    publish(_HOME / "pom.xml", _PROJECT.format(dependencies="".join(map(_dependency, coordinates))))
    command = [
        program("mvn", package="maven"),
        *("--batch-mode", "--quiet", "--file", str(_HOME / "pom.xml"), _COPY),
        *("-DincludeScope=runtime", f"-DoutputDirectory={draft}"),
    ]
    done = subprocess.run(  # noqa: S603  the arguments are ours
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode or not draft.exists():
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[:10])
        raise EmbeddedServerError(f"Maven could not fetch {wanted.name}:\n{said}")
    draft.rename(wanted)


def _dependency(coordinate: str) -> str:
    group, artifact, version = coordinate.split(":")
    return _DEPENDENCY.format(group=group, artifact=artifact, version=version)
