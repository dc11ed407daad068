"""Relays and bare loops as processes of their own, as they would run, ended with this one at the latest."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from bench.servers import Servers
from bench.service import environment
from somabrain.embedded.leash import Leashed

_PATIENCE = 600.0
_STOP_SECONDS = 30.0
_SAMPLE_SECONDS = 0.05


def bare_loop(servers: Servers, *, loop: str, batch: int) -> None:
    """Drain what is pending by one bare loop."""
    place = ("--database-url", servers.database_url, "--kafka", servers.kafka)
    with _started(servers, "-m", "bench.bare", *place, "--loop", loop, "--batch", str(batch)) as process:
        _wait(process)


def relay_until_empty(servers: Servers) -> float:
    """Drain what is pending by one relay; returns the most memory it had resident, in MB."""
    with _started(servers, "manage.py", "outbox", "relay", "--until-empty") as process:
        return _wait(process)


@contextmanager
def relays(servers: Servers, *, count: int) -> Iterator[None]:
    """So many relays that run until the end of the block; it begins when all of them have reported for work."""
    if count == 0:
        yield
        return
    with _relay(servers, "manage.py", "outbox", "relay"), relays(servers, count=count - 1):
        yield


@contextmanager
def reporting_relay(servers: Servers) -> Iterator[dict[str, float]]:
    """One relay; after the block the dictionary has the time of each delivery report, by dedupe key."""
    reported: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        file = Path(directory) / "reports.json"
        with _relay(servers, "-m", "bench.reporting", str(file)):
            yield reported
        reported.update(json.loads(file.read_text()))


@contextmanager
def _relay(servers: Servers, *arguments: str) -> Iterator[None]:
    """At work for the whole block, and ended by SIGTERM."""
    with _started(servers, *arguments) as process:
        _wait_for_relay(servers, process, already=_fleet(servers))
        yield
        if (code := process.stop(timeout=_STOP_SECONDS)) != 0:
            raise SystemExit(f"A relay ended with {code}:\n{_last_words(process)}")


@contextmanager
def _started(servers: Servers, *arguments: str) -> Iterator[Leashed]:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        ours = environment(database_url=servers.database_url, kafka=servers.kafka)
        process = Leashed(
            [sys.executable, *arguments],
            log=Path(directory) / "output.log",
            environment={**os.environ, **ours},
        )
        try:
            yield process
        finally:
            process.kill()


def _wait(process: Leashed) -> float:
    """Until the process has ended; returns the highest memory mark seen."""
    deadline = time.monotonic() + _PATIENCE
    highest = 0.0
    while process.returncode is None:
        if time.monotonic() > deadline:
            raise SystemExit(f"Not finished after {_PATIENCE:.0f} s:\n{_last_words(process)}")
        highest = max(highest, _peak_mb(process.pid))
        time.sleep(_SAMPLE_SECONDS)
    if process.returncode != 0:
        raise SystemExit(f"Ended with {process.returncode}:\n{_last_words(process)}")
    return highest


def _peak_mb(pid: int) -> float:
    """The kernel's own high-water mark, which misses no moment; where there is none, what is resident now."""
    with suppress(OSError):
        mark = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return int(mark.group(1)) * 1_024 / 1e6 if mark else 0.0
    import psutil

    with suppress(psutil.Error):
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    return 0.0


def _wait_for_relay(servers: Servers, process: Leashed, *, already: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while _fleet(servers) <= already:
        if process.returncode is not None or time.monotonic() > deadline:
            raise SystemExit(f"A relay did not start:\n{_last_words(process)}")
        time.sleep(_SAMPLE_SECONDS)


def _fleet(servers: Servers) -> int:
    with psycopg.connect(servers.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM outbox_relays").fetchone()
    return int(row[0]) if row else 0


def _last_words(process: Leashed) -> str:
    return process.log.read_text(errors="replace")[-3_000:]
