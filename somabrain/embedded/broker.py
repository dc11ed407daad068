"""The broker that runs beside this checkout, announced to every process that looks for one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil
from django.conf import settings

from somabrain.embedded import locks
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.paths import CACHE, private, publish

_HOME = CACHE / "broker"
_RUNNING = _HOME / "running"
_NOTICE = _HOME / "notice.json"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What a running broker says about itself."""

    kind: str
    bootstrap_servers: str
    pid: int


def client_config() -> dict[str, str]:
    """librdkafka's settings for the broker that runs now: its address, and what `KAFKA_*` adds to it."""
    return {**settings.KAFKA, "bootstrap.servers": bootstrap_servers()}


def bootstrap_servers(*, patience: float = 0) -> str:
    """The address of the broker that runs now, or that starts within `patience` seconds."""
    deadline = time.monotonic() + patience
    while (notice := running()) is None:
        if time.monotonic() >= deadline:
            raise EmbeddedServerError(
                "No broker runs: start one with `manage.py mock_broker` or `manage.py kafka`, "
                "or set KAFKA_BOOTSTRAP_SERVERS=host:port."
            )
        time.sleep(0.05)
    return notice.bootstrap_servers


def running() -> Notice | None:
    """The broker that runs now; a notice without a living broker behind it does not count."""
    if not locks.is_held(_RUNNING):
        return None
    try:
        notice = Notice(**json.loads(_NOTICE.read_text()))
    except FileNotFoundError:
        return None
    # Whoever holds the lock now may not have removed yet what a broker that was killed has left.
    return notice if psutil.pid_exists(notice.pid) else None


@contextmanager
def sole() -> Iterator[None]:
    """Be the one broker of this checkout for the time of the block."""
    private(_HOME)
    held = locks.take(_RUNNING)
    if held is None:
        other = running()
        where = f" at {other.bootstrap_servers} (process {other.pid})" if other else ""
        raise EmbeddedServerError(f"A broker already runs for this checkout{where}: stop that one first.")
    try:
        _NOTICE.unlink(missing_ok=True)
        yield
    finally:
        _NOTICE.unlink(missing_ok=True)
        os.close(held)


def announce(*, kind: str, bootstrap_servers: str) -> None:
    """Let others find this process's broker; within `sole` only."""
    notice = Notice(kind=kind, bootstrap_servers=bootstrap_servers, pid=os.getpid())
    publish(_NOTICE, json.dumps(asdict(notice)))
