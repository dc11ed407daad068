"""Processes that call through one circuit; one of them by itself: `python -m bench.callers`.

It says `ready` after its first calls, and `refused <Unix time>` each time that it finds the circuit open anew.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.servers import Servers
from bench.service import environment
from somabrain.embedded.leash import Leashed

TENANT, NAME = "bench", "guard"
_PAUSE_SECONDS = 0.002
_READY_AFTER = 100
_PATIENCE = 120.0


@contextmanager
def callers(servers: Servers, *, count: int) -> Iterator[list[Leashed]]:
    """So many of them, all of them calling."""
    ours = environment(database_url=servers.database_url, kafka=servers.kafka)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        started = []
        for number in range(count):
            command = [sys.executable, "-m", "bench.callers"]
            process = Leashed(command, log=directory / f"{number}.log", environment={**os.environ, **ours})
            stack.callback(process.kill)
            started.append(process)
        for each in started:
            said(each, "ready", times=1)
        yield started


def said(process: Leashed, word: str, *, times: int) -> list[str]:
    """What stands behind the word in the lines that begin with it, once there are so many."""
    deadline = time.monotonic() + _PATIENCE
    while len(found := _behind(process, word)) < times:
        if process.returncode is not None or time.monotonic() > deadline:
            raise SystemExit(f"A caller did not say {word!r}:\n{process.log.read_text(errors='replace')[-3_000:]}")
        time.sleep(0.01)
    return found


def _behind(process: Leashed, word: str) -> list[str]:
    lines = process.log.read_text(errors="replace").splitlines()
    return [line.removeprefix(word).strip() for line in lines if line.startswith(word)]


def _call_for_ever() -> None:
    import django

    django.setup()
    from circuits.api import Circuit, CircuitOpen

    circuit, calls, refused = Circuit(tenant_id=TENANT, name=NAME), 0, False
    while True:
        try:
            with circuit.call():
                calls += 1
            refused = False
        except CircuitOpen:
            if not refused:
                print(f"refused {time.time()!r}", flush=True)
            refused = True
        if calls == _READY_AFTER:
            print("ready", flush=True)
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    _call_for_ever()
