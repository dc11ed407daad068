"""A PostgreSQL 15 server: the distribution's, or the one that Maven Central has."""

from __future__ import annotations

import platform
import tarfile
import zipfile
from pathlib import Path

from somabrain.embedded import locks, maven
from somabrain.embedded.paths import CACHE, private

_VERSION = "15.10.0"
_DEBIAN = Path("/usr/lib/postgresql/15/bin")
_HOME = CACHE / "postgresql-15"


def binaries() -> Path:
    """Where its programs are. Raises `MissingProgram` when they are neither here nor can be fetched."""
    if (_DEBIAN / "initdb").exists():
        return _DEBIAN
    programs = private(_HOME) / _VERSION / "bin"
    with locks.exclusive(_HOME / "mutex"):
        if not programs.exists():
            _fetch(programs.parent)
    return programs


def _fetch(target: Path) -> None:
    system = platform.system().lower()
    machine = "arm64v8" if platform.machine() in ("arm64", "aarch64") else "amd64"
    artifact = f"embedded-postgres-binaries-{system}-{machine}"
    jars = maven.jars(f"io.zonky.test.postgres:{artifact}:{_VERSION}", name=f"postgresql-{_VERSION}")
    draft = target.with_name(f"{target.name}.new")
    with zipfile.ZipFile(next(jars.glob(f"{artifact}*.jar"))) as jar:
        archive = next(name for name in jar.namelist() if name.endswith(".txz"))
        with jar.open(archive) as packed, tarfile.open(fileobj=packed, mode="r|xz") as files:
            files.extraction_filter = getattr(tarfile, "tar_filter", lambda member, path: member)
            files.extractall(draft)  # noqa: S202  a release of PostgreSQL, from a checksummed repository
    draft.rename(target)
