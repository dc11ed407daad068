"""What recurs: written into django-q2's table of schedules by the workers themselves, when they start."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, connections, router, transaction
from django_q.models import Schedule

from outbox import conf, tasks

logger = logging.getLogger("outbox.workers")

PRUNE = "outbox prune"
AGAIN_SECONDS = 10.0
# Successes are many and say nothing; failures are kept all the same.
_UNSAVED = "{'q_options': {'save': False}}"
_LOCK = int.from_bytes(b"obxsched", "big")


def keep() -> None:
    """Write the schedules from a thread, as soon as the database answers."""
    threading.Thread(target=_keep, name="outbox-schedules", daemon=True).start()


def _keep(pause: Callable[[float], object] = time.sleep) -> None:
    while not write_once():
        pause(AGAIN_SECONDS)


def write_once() -> bool:
    """Whether the schedules stand as they should. Leaves no session behind."""
    try:
        write()
    except DatabaseError:
        logger.debug("Schedules could not be written.", exc_info=True)
        return False
    finally:
        connections.close_all()
    return True


def write() -> None:
    """Make the schedule of pruning what the settings say. What people have set otherwise, such as its end, stays."""
    minutes = conf.get().prune_minutes
    alias = router.db_for_write(Schedule)
    with transaction.atomic(using=alias):
        _lock(alias)
        schedules = Schedule.objects.using(alias).filter(name=PRUNE)
        if minutes is None:
            schedules.delete()
        elif not schedules.exists():
            schedules.create(
                name=PRUNE, func=tasks.PRUNE, kwargs=_UNSAVED, schedule_type=Schedule.MINUTES, minutes=minutes
            )
        else:
            schedules.exclude(minutes=minutes, schedule_type=Schedule.MINUTES).update(
                minutes=minutes, schedule_type=Schedule.MINUTES
            )


def _lock(alias: str) -> None:
    """All workers start at the same moment, and names are not unique."""
    if connections[alias].vendor == "postgresql":
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
