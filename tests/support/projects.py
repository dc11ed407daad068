"""Django projects of somebody else, with databases of their own on the server of the tests."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql

HANG_SECONDS = 240


def libpq() -> dict[str, str]:
    """The environment in which settings need to name nothing but the database."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    params = _params()
    return {names[name]: str(value) for name, value in params.items() if name in names and value}


@contextmanager
def database(name: str) -> Iterator[str]:
    """An empty database, dropped at the end whoever uses it."""
    _administrate("CREATE DATABASE {}", name)
    try:
        yield name
    finally:
        _administrate("DROP DATABASE {} WITH (FORCE)", name)


def environment_with(wheel: Path, *, directory: Path) -> Path:
    """The interpreter of a fresh virtual environment: this wheel, and beside it what this process can import.

    The checkout cannot be imported there.
    """
    venv.EnvBuilder(symlinks=True).create(directory)
    interpreter = directory / "bin" / "python"
    place = Path(sysconfig.get_path("purelib", vars={"base": str(directory), "platbase": str(directory)}))
    (place / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "--disable-pip-version-check", "--quiet"]
    run([*pip, "install", "--no-deps", "--no-index", str(wheel)])
    return interpreter


def run(
    command: list[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None, code: int = 0
) -> str:
    """What a command prints. It has to end with this exit code."""
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )
    assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _params() -> dict[str, Any]:
    return connection.get_connection_params()


def _administrate(statement: str, name: str) -> None:
    params = {key: value for key, value in _params().items() if key in ("host", "port", "user", "password")}
    with psycopg.connect(dbname="postgres", autocommit=True, **params) as session:
        session.execute(sql.SQL(statement).format(sql.Identifier(name)))
