"""gunicorn for the admin, the probes and the metrics; behind a proxy that speaks TLS."""

from __future__ import annotations

import os
from typing import Any

bind = os.environ.get("WEB_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_WORKERS", "2"))
# A page waits for the database, not for this process.
threads = 4
timeout = 60
graceful_timeout = 30
# Each worker opens connections of its own; a fork of one that has some would share them.
preload_app = False
accesslog = None


def child_exit(server: Any, worker: Any) -> None:
    """A worker that is gone counts no more among those that live."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)
