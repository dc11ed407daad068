"""The service's processes, run side by side by honcho until one of them ends or somebody stops them all."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

import psutil
from honcho.manager import Manager
from honcho.printer import Message, Printer

from somabrain.embedded.paths import CHECKOUT

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DRAIN_SECONDS = 15.0


class Services(Manager):  # type: ignore[misc]  # honcho has no types
    """`manage.py` commands by name, each in a session of its own.

    The output of the one named `shown` goes line by line to `show`, that of the others to the log.
    """

    def __init__(
        self, commands: Mapping[str, Sequence[str]], *, shown: str, show: Callable[[str], None], log: TextIO
    ) -> None:
        super().__init__(printer=_Output(log, shown=shown, show=show))
        self.first_to_end: str | None = None
        """The process that ended by itself, and all others with it; none if a signal ended them."""
        self._leashes: list[subprocess.Popen[bytes]] = []
        for name, arguments in commands.items():
            # Without exec there would be a shell between honcho's signal and the command.
            line = shlex.join([sys.executable, "manage.py", *arguments])
            self.add_process(name, f"exec {line}", cwd=str(CHECKOUT), env=dict(os.environ))

    def run(self) -> None:
        """Start all and wait for the end of all, which the end of one of them or a signal brings about."""
        signal.signal(signal.SIGHUP, _as_if_terminated)
        try:
            self.loop()
        finally:
            self._leave_nobody()

    def exit_code(self, name: str) -> int:
        """How that process ended; negative when a signal ended it."""
        return int(self._processes[name]["returncode"])

    def _any_stopped(self) -> bool:
        """honcho asks after each event, so nobody can have ended unnoticed between two calls."""
        ended = [name for name, process in self._processes.items() if process.get("returncode") is not None]
        if ended and not self._terminating:
            self.first_to_end = ended[0]
        return bool(ended)

    def _start(self) -> None:
        """honcho would stumble over a signal that comes before it knows the numbers of all its processes."""
        with _held_back():
            super()._start()
            others = []
            while not self._all_started():
                message = self.events.get()
                if message.type == "start":
                    self._processes[message.name]["pid"] = message.data["pid"]
                else:
                    others.append(message)
            for message in others:
                self.events.put(message)
            # Not before, since honcho's own forks would hold the other end of the leash as well.
            self._leashes = [_leash(process["pid"]) for process in self._processes.values()]

    def _leave_nobody(self) -> None:
        """honcho kills what takes longer than 5 s, but not its children, which may be about to end by themselves."""
        leaders = {process["pid"] for process in self._processes.values() if "pid" in process}
        deadline = time.monotonic() + _DRAIN_SECONDS
        while _any_member(leaders) and time.monotonic() < deadline:
            time.sleep(0.05)
        for leash in self._leashes:
            leash.communicate()


class _Output(Printer):  # type: ignore[misc]  # honcho has no types
    def __init__(self, log: TextIO, *, shown: str, show: Callable[[str], None]) -> None:
        super().__init__(output=log, colour=False)
        self._shown = shown
        self._show = show

    def write(self, message: Message) -> None:
        if message.name != self._shown:
            super().write(message)
            return
        text = message.data.decode(errors="replace") if isinstance(message.data, bytes) else message.data
        # A terminal that is gone must not keep us from ending what we have started.
        with suppress(OSError):
            self._show(text.rstrip("\n"))


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals that end us wait for the end of the block; children that are forked in it do not see them."""
    came: list[int] = []
    before: dict[int, Any] = {number: signal.signal(number, lambda got, _: came.append(got)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            os.kill(os.getpid(), number)


def _as_if_terminated(number: int, frame: FrameType | None) -> None:
    """The terminal is gone."""
    os.kill(os.getpid(), signal.SIGTERM)


def _leash(pid: int) -> subprocess.Popen[bytes]:
    """Kills that process's whole session as soon as we close its input, or die and so cannot stop anything."""
    began = repr(psutil.Process(pid).create_time())
    return subprocess.Popen(  # noqa: S603  two numbers
        [sys.executable, "-m", "somabrain.embedded.leash", str(pid), began],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _any_member(leaders: set[int]) -> bool:
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getsid(process.pid) in leaders and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False
