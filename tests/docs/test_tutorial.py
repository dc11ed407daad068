"""The tutorial, done as it is written: every file, every command."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from somabrain.embedded.leash import Leashed
from tests.docs.pages import DOCS, Block, blocks
from tests.support import projects
from tests.support.mock_cluster import MockCluster
from tests.support.processes import clean_environment
from tests.support.waiting import wait_until

HANG_SECONDS = 120
# What the test has done already, or does in another way.
_GIVEN = ("make ", "cd ", "mkdir ", "python3 -m venv ", "pip install ")


class Reader:
    """Somebody who does what the page says, in a directory, with a database and a broker of their own."""

    def __init__(self, directory: Path, *, database: str, broker: str) -> None:
        self._directory = directory
        self._database = database
        self._own = {"127.0.0.1:9092": broker, '"NAME": "shop"': f'"NAME": "{database}"'}
        self._environment = {**clean_environment(), **projects.libpq(), "PYTHONUNBUFFERED": "1"}
        self._started = ExitStack()
        self._printed = ""
        self._commands: dict[str, Callable[[str], None]] = {
            "createdb ": self._create_database,
            "django-admin ": self._run,
            "python manage.py runserver": self._serve,
            "python manage.py outbox relay": self._start,
            "python ": self._run,
            "curl ": self._ask,
        }

    def close(self) -> None:
        self._started.close()

    def do(self, block: Block) -> None:
        if block.language == "sh":
            for line in block.text.splitlines():
                self._command(line)
        elif block.language == "python":
            self._write(block.text)
        else:
            assert block.language == "text"
            assert self._printed == block.text

    def _command(self, line: str) -> None:
        if line.startswith(_GIVEN):
            return
        prefix = next((prefix for prefix in self._commands if line.startswith(prefix)), None)
        assert prefix is not None, f"the test does not know how to do {line!r}"
        self._commands[prefix](line)

    def _write(self, text: str) -> None:
        first, _, code = text.partition("\n")
        name = first.removeprefix("# ")
        for theirs, ours in self._own.items():
            code = code.replace(theirs, ours)
        if name == "shell":
            self._printed = self._finish("manage.py", "shell", "--no-imports", "-c", code)
            return
        with (self._directory / name).open("a" if name.endswith("settings.py") else "w") as file:
            file.write(code)

    def _run(self, line: str) -> None:
        program, *arguments = shlex.split(line)
        self._printed = self._finish(*(["-m", "django"] if program == "django-admin" else []), *arguments)

    def _finish(self, *arguments: str) -> str:
        command = [sys.executable, "-W", "error", *arguments]
        return projects.run(command, cwd=self._directory, environment=self._environment)

    def _start(self, line: str) -> None:
        arguments = shlex.split(line)[1:]
        log = self._directory / f"{arguments[1]}.log"
        # Leashed programs start in the checkout.
        program = [sys.executable, "-c", _IN_DIRECTORY, str(self._directory), *arguments]
        process = Leashed(program, log=log, environment=self._environment)
        self._started.callback(process.stop, timeout=HANG_SECONDS)

    def _serve(self, line: str) -> None:
        self._start(f"{line} 127.0.0.1:0 --noreload")

    def _ask(self, line: str) -> None:
        _, _, body, url = shlex.split(line)
        wait_until(self._port, timeout=HANG_SECONDS)
        request = Request(url.replace(":8000", f":{self._port()}"), data=body.encode())  # noqa: S310  loopback
        with urlopen(request, timeout=HANG_SECONDS) as answer:  # noqa: S310
            self.answer = json.load(answer)

    def _port(self) -> str:
        """The web server's, which says so once it listens."""
        found = _ADDRESS.search((self._directory / "runserver.log").read_text())
        return found[1] if found else ""

    def _create_database(self, line: str) -> None:
        self._started.enter_context(projects.database(self._database))


@pytest.fixture
def reader(tmp_path: Path, mock_cluster: MockCluster) -> Iterator[Reader]:
    someone = Reader(tmp_path, database=f"tutorial_{os.getpid()}", broker=mock_cluster.bootstrap_servers)
    yield someone
    someone.close()


def test_whoever_does_what_the_tutorial_says_sees_what_it_says(reader: Reader) -> None:
    for block in blocks(DOCS / "tutorial.md"):
        reader.do(block)
    assert reader.answer == {"order": 1, "event": 1}


_ADDRESS = re.compile(r"server at http://127\.0\.0\.1:(\d+)/")
_IN_DIRECTORY = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
