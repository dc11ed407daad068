"""gunicorn for the admin, the probes and the metrics; behind a proxy that speaks TLS."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

# gunicorn reads this before it obeys --chdir.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from somabrain import environment as env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "somabrain.settings")
try:
    bind = env.addresses("WEB_BIND", default="127.0.0.1:8000")
    workers = env.whole("WEB_WORKERS", default=2, at_least=1, at_most=1_000)
    # Each worker would say with a traceback that it cannot read them.
    import_module(os.environ["DJANGO_SETTINGS_MODULE"])
except ImproperlyConfigured as error:
    sys.exit(f"Error: {error}")
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
