"""One PostgreSQL data directory, and the server that runs on it."""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import shutil
import signal
import socket
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from somabrain.embedded import unprivileged
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.paths import private, publish

USER = "somabrain"
PORT = 5432

_START_SECONDS = 120
_STOP_SECONDS = 120
_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# PostgreSQL reads PGPORT, PGDATA and their kin from the environment: none of the caller's may reach it.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
# 107 bytes on Linux, 103 on macOS, less the name of the socket itself.
_LONGEST_SOCKET_DIRECTORY = 103 - len(f"/.s.PGSQL.{PORT}.lock")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A server on a UNIX socket that its own user alone can reach, with a random password.

    The methods are not safe against each other: hold a lock where more than one process may call them.
    """

    binaries: Path
    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    @property
    def socket_directory(self) -> Path:
        """Beside the data, or in a short path of its own where that one would not do as a socket's."""
        fits = len(bytes(self.data)) <= _LONGEST_SOCKET_DIRECTORY
        if fits and re.fullmatch(r"[\w./+-]+", str(self.data), re.ASCII):
            return self.data
        identity = hashlib.sha256(f"{self.data} {self.data.stat().st_ino}".encode())
        # Not where TMPDIR says, which on macOS is as long.
        return Path("/tmp") / f"somabrain-{identity.hexdigest()[:20]}"  # noqa: S108  ownership is checked

    @property
    def password(self) -> str:
        return (self.directory / "password").read_text()

    def url(self, database: str) -> str:
        """What libpq, psycopg and Django take to connect."""
        host = quote(str(self.socket_directory), safe="")
        return f"postgresql://{USER}:{self.password}@/{quote(database)}?host={host}"

    def listens(self) -> bool:
        """Whether a server is there, which no process id in a file can tell for sure. Costs microseconds."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.socket_directory / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
        return True

    def answers(self) -> bool:
        """Whether a server lets us in: one that is starting or stopping listens too."""
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=_START_SECONDS).close()
        except (OSError, psycopg.OperationalError):
            return False
        return True

    def create(self) -> None:
        """Make the data directory if there is none; one that was left half made is made anew."""
        if self.data.exists():
            return
        private(self.directory)
        unprivileged.let_read(self.binaries.parent)
        unprivileged.own(self.directory)
        publish(self.directory / "password", secrets.token_urlsafe(24))
        for draft in self.directory.glob("draft-*"):
            shutil.rmtree(draft, ignore_errors=True)
        # A name of its own, since the initdb of a caller that was killed may still be at work.
        draft = private(self.directory / f"draft-{secrets.token_hex(4)}")
        self._initialise(draft)
        (draft / "data").rename(self.data)
        shutil.rmtree(draft)

    def start(self) -> None:
        """Start the server and wait until it answers; what a killed one left behind is cleared away first."""
        if self._comes_up_by_itself():
            return
        self._clear_remains()
        self._prepare_socket_directory()
        options = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.socket_directory),
            "unix_socket_permissions": "0700",
            **self.settings,
        }
        words = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())
        self._control("start", "-w", "-t", str(_START_SECONDS), "-l", self.log.name, "-o", words)

    def stop(self, *, mode: str = "fast") -> None:
        """Stop the server and wait for its end; `immediate` leaves recovery to the next start."""
        for process in self._processes():
            # Not through pg_ctl, which believes a process id that may be somebody else's by now.
            if process.pid == self._recorded_pid():
                process.send_signal(_STOP_SIGNALS[mode])
        self._wait_for(lambda: not self._processes(), seconds=_STOP_SECONDS)
        with suppress(OSError):
            self.socket_directory.rmdir()

    def create_database(self, name: str) -> None:
        """Make a database if there is none of that name."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _initialise(self, draft: Path) -> None:
        unprivileged.own(draft)
        publish(draft / "password", self.password)
        unprivileged.own(draft / "password")
        self._run(
            "initdb",
            *("--pgdata", "data", "--username", USER, "--pwfile", "password"),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
            directory=draft,
        )

    def _prepare_socket_directory(self) -> None:
        """Others may write to its parent, so one that is there already must be ours."""
        directory = self.socket_directory
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
            unprivileged.own(directory)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid != self.data.stat().st_uid:
            raise EmbeddedServerError(f"{directory} is not a private directory of ours: remove it.")

    def _comes_up_by_itself(self) -> bool:
        """Whoever started it may have been killed meanwhile; backends of a killed server end in a moment."""
        self._wait_for(lambda: self.answers() or not self._processes(), seconds=_START_SECONDS)
        return self.answers()

    def _wait_for(self, condition: Callable[[], bool], *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"PostgreSQL hangs on {self.data}: end its processes.")
            time.sleep(0.02)

    def _recorded_pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _clear_remains(self) -> None:
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self.socket_directory / name).unlink(missing_ok=True)

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["name"]):
            try:
                if process.name() == "postgres" and Path(process.cwd()) == self.data:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def _control(self, action: str, *options: str) -> None:
        # In the data directory, since pg_ctl stumbles over quotes in a path.
        self._run("pg_ctl", action, "--pgdata", ".", "--silent", *options, directory=self.data)

    def _run(self, program: str, *arguments: str, directory: Path) -> None:
        command = [str(self.binaries / program), *arguments]
        done = unprivileged.run(command, directory=directory, environment=_ENVIRONMENT)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            log = self.log.read_text(errors="replace")[-2_000:] if self.log.exists() else ""
            raise EmbeddedServerError(f"{program} failed: {said}\n{log}".strip())
