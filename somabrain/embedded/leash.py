"""Programs that never outlive the process that started them, kill -9 included.

A program stands in a session of its own, which its children keep even where they leave the process group or
lose their parent. A watcher reads a pipe; when the pipe's other end is gone, so is the owner, and the watcher
kills the whole session. The program does not begin before it has a watcher.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from somabrain.embedded.paths import CHECKOUT

# The kernel's idea of when it booted, from which this time is counted, moves with the clock.
_CLOCK_SECONDS = 2
# Becomes the program at a line, and ends without one.
_GATE = ("/bin/sh", "-c", 'read -r line && exec "$@" < /dev/null', "sh")


class Leashed:
    """A program with all its children, writing to a log file."""

    def __init__(self, command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        with log.open("ab") as output:
            self._program = subprocess.Popen(  # noqa: S603  as safe as our caller's command
                [*_GATE, *(str(part) for part in command)],
                cwd=CHECKOUT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._began = psutil.Process(self.pid).create_time()
        self._watcher = subprocess.Popen(  # noqa: S603  two numbers
            [sys.executable, "-m", "somabrain.embedded.leash", str(self.pid), repr(self._began)],
            cwd=CHECKOUT,
            env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._begin()

    @property
    def pid(self) -> int:
        """The process that was started, which leads the session."""
        return self._program.pid

    @property
    def returncode(self) -> int | None:
        """The program's exit code, None while it runs; negative when a signal ended it."""
        return self._program.poll()

    def processes(self) -> list[psutil.Process]:
        """The program and all its children that run now, orphans too."""
        return _session(self.pid, began=self._began)

    def send(self, number: int, *, to_group: bool = False) -> None:
        """Send a signal to the program alone, or to its process group as a terminal or a supervisor does."""
        if self.returncode is None:
            (os.killpg if to_group else os.kill)(self.pid, number)

    def wait(self, *, timeout: float | None) -> int:
        """The exit code. Raises `subprocess.TimeoutExpired` when the program takes longer (seconds)."""
        return self._program.wait(timeout)

    def stop(self, *, timeout: float) -> int:
        """SIGTERM to the program, SIGKILL to what is left of it when the time (seconds) is over."""
        self.send(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.wait(timeout=timeout)
        self.kill()
        return self.wait(timeout=None)

    def kill(self) -> None:
        """SIGKILL to everything that is left of the program; returns when it is gone."""
        _kill_session(self.pid, began=self._began)
        self._program.wait()
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()
        self._watcher.wait()

    def _begin(self) -> None:
        if self._program.stdin is not None:
            with suppress(BrokenPipeError), self._program.stdin as gate:
                gate.write(b"\n")


def _session(leader: int, *, began: float) -> list[psutil.Process]:
    """Its members that run; none if the leader's number has gone to somebody else: then they all are dead."""
    with suppress(psutil.NoSuchProcess):
        if abs(psutil.Process(leader).create_time() - began) > _CLOCK_SECONDS:
            return []
    members = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def _kill_session(leader: int, *, began: float) -> None:
    """A member may start another one while we look, so look until none is left."""
    while left := _session(leader, began=began):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.01)


def _watch_owner(leader: int, *, began: float) -> None:
    # The owner alone ends a watcher: a signal to everything must not part the program from its leash.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    _kill_session(leader, began=began)


if __name__ == "__main__":
    _watch_owner(int(sys.argv[1]), began=float(sys.argv[2]))
