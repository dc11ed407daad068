"""Programs that never outlive the process that started them, kill -9 included.

A small process runs the program and reads a pipe; when the pipe's other end is gone, so is its owner, and it
kills everything that the program has started. All of it stands in one session, which children keep even where
they leave the process group or lose their parent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from somabrain.embedded.paths import CHECKOUT


class Leashed:
    """A program with all its children, in a session of its own, writing to a log file."""

    def __init__(self, command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str]) -> None:
        with log.open("ab") as output:
            self._leash = subprocess.Popen(  # noqa: S603  as safe as our caller's command
                [sys.executable, "-m", "somabrain.embedded.leash", *map(str, command)],
                cwd=CHECKOUT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.log = log

    @property
    def returncode(self) -> int | None:
        """The program's exit code, None while it runs; negative when a signal ended it."""
        return self._leash.poll()

    def processes(self) -> list[psutil.Process]:
        """The program and its children that run now."""
        return [each for each in _session(self._leash.pid) if each.pid != self._leash.pid]

    def signal_group(self, number: int) -> None:
        """Send a signal to the program's process group, as a terminal or a supervisor does."""
        if self.returncode is None:
            os.killpg(self._leash.pid, number)

    def wait(self, *, timeout: float | None) -> int:
        """The exit code. Raises `subprocess.TimeoutExpired` when the program takes longer (seconds)."""
        return self._leash.wait(timeout)

    def stop(self, *, timeout: float) -> int:
        """SIGTERM to the program, SIGKILL to what is left of it when the time (seconds) is over."""
        self.signal_group(signal.SIGTERM)
        try:
            return self.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            return self._leash.returncode or -signal.SIGKILL
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to everything that is left of the program; returns when it is gone."""
        _kill_session(self._leash.pid)
        self._leash.wait()
        if self._leash.stdin is not None:
            self._leash.stdin.close()


def _session(leader: int) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (OSError, psutil.Error):
            continue
    return members


def _kill_session(leader: int) -> None:
    """A member may start another one while we look, so look until none is left but ourselves."""
    while left := [each for each in _session(leader) if each.pid != os.getpid()]:
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.01)


def _hold(command: Sequence[str]) -> None:
    # Handlers that do nothing, since an ignored signal would stay ignored in the program.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603  as safe as our caller's
    threading.Thread(target=_watch_owner, daemon=True).start()
    _end_like(program.wait())


def _watch_owner() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    _kill_session(os.getpid())
    os._exit(1)


def _end_like(code: int) -> None:
    """End with the program's exit code, or by the signal that ended it."""
    if code < 0:
        if -code in (signal.SIGTERM, signal.SIGINT):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    _hold(sys.argv[1:])
