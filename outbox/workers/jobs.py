"""Every worker looks for jobs that no task leads to any more: its queue was emptied, or who had the job has died."""

from __future__ import annotations

import logging
import threading
import time

from django.db import DatabaseError, connections

from outbox.operations.jobs.queue import offer_lost

logger = logging.getLogger("outbox.workers")

LOOK_SECONDS = 5.0


def start_watch() -> None:
    """Look from a thread of this worker, for as long as it lives."""
    threading.Thread(target=_look_forever, name="outbox-jobs-watch", daemon=True).start()


def _look_forever() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        look_once()


def look_once() -> int:
    """How many were found. Leaves no session behind; no database and no queue that fails stops it."""
    try:
        return offer_lost()
    except DatabaseError:
        logger.debug("Jobs could not be looked at.", exc_info=True)
    except Exception:
        # The outermost catch of the watch: without it jobs would be lost until a restart.
        logger.exception("Jobs could not be looked at.")
    finally:
        connections.close_all()
    return 0
