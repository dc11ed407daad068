from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from somabrain.embedded.leash import Leashed
from somabrain.embedded.paths import CHECKOUT
from tests.support.waiting import wait_until

# A program whose child leaves the process group, and that says who both are.
FAMILY = """
import os, time
if child := os.fork():
    print(os.getpid(), child, flush=True)
else:
    os.setpgid(0, 0)
time.sleep(600)
"""
OWNER = f"""
import os, sys, time
from pathlib import Path
from somabrain.embedded.leash import Leashed
Leashed([sys.executable, "-c", {FAMILY!r}], log=Path(sys.argv[1]), environment=os.environ)
Path(sys.argv[2]).touch()
time.sleep(600)
"""

# An owner that is killed when its program is there, and the watcher is not yet.
KILLED_EARLY = f"""
import os, signal, subprocess, sys
from pathlib import Path
from somabrain.embedded.leash import Leashed
popen = subprocess.Popen
def start(*arguments, **options):
    if "somabrain.embedded.leash" in arguments[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    program = popen(*arguments, **options)
    Path(sys.argv[2]).write_text(f"{{program.pid}}")
    return program
subprocess.Popen = start
Leashed([sys.executable, "-c", {FAMILY!r}], log=Path(sys.argv[1]), environment=os.environ)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Leashed]]:
    with ExitStack() as started:

        def start(code: str) -> Leashed:
            program = Leashed([sys.executable, "-c", code], log=tmp_path / "log", environment=os.environ)
            started.callback(program.kill)
            return program

        yield start


def family(log: Path) -> list[int]:
    """The two processes, once they have said who they are. The time limit is a guard against hanging."""
    deadline = time.monotonic() + 60
    while not log.exists() or not log.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(word) for word in log.read_text().split()]


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_killing_takes_children_that_left_the_group(start: Callable[[str], Leashed], tmp_path: Path) -> None:
    program = start(FAMILY)
    parent, child = family(tmp_path / "log")
    assert parent == program.pid
    assert {each.pid for each in program.processes()} == {parent, child}
    program.kill()
    assert not runs(parent)
    assert not runs(child)
    assert program.returncode == -signal.SIGKILL


def test_killing_takes_orphans(start: Callable[[str], Leashed], tmp_path: Path) -> None:
    program = start(FAMILY)
    _, child = family(tmp_path / "log")
    program.send(signal.SIGKILL)
    program.wait(timeout=60)
    assert runs(child)
    program.kill()
    assert not runs(child)


def test_a_program_goes_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    log, leashed = tmp_path / "log", tmp_path / "leashed"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(log), str(leashed)], cwd=CHECKOUT)
    processes = family(log)
    wait_until(leashed.exists)
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 60
    while any(runs(pid) for pid in processes):
        assert time.monotonic() < deadline, "the program outlives its owner"
        time.sleep(0.02)


def test_a_program_without_a_watcher_does_not_begin(tmp_path: Path) -> None:
    log, pid = tmp_path / "log", tmp_path / "pid"
    owner = subprocess.run([sys.executable, "-c", KILLED_EARLY, str(log), str(pid)], cwd=CHECKOUT)
    assert owner.returncode == -signal.SIGKILL
    wait_until(lambda: not runs(int(pid.read_text())))
    assert log.read_text() == ""


def test_the_exit_code_is_the_programs_own(start: Callable[[str], Leashed]) -> None:
    assert start("raise SystemExit(7)").wait(timeout=60) == 7


def test_stopping_asks_first(start: Callable[[str], Leashed], tmp_path: Path) -> None:
    program = start("import signal; signal.signal(15, lambda *_: exit(5)); print('up', flush=True); signal.pause()")
    while "up" not in (tmp_path / "log").read_text():
        time.sleep(0.02)
    assert program.stop(timeout=60) == 5


def test_stopping_kills_what_does_not_listen(start: Callable[[str], Leashed], tmp_path: Path) -> None:
    program = start("import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()")
    while "up" not in (tmp_path / "log").read_text():
        time.sleep(0.02)
    assert program.stop(timeout=0.1) == -signal.SIGKILL
