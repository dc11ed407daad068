"""`manage.py outbox requeue`: retries are due at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outbox.management.subcommands.changing import Changing
from outbox.models import JobVerb
from outbox.operations import requeue
from outbox.operations.bulk import Preview, Progress
from outbox.operations.filters import Filter


class Requeue(Changing):
    help = (
        "Makes events that wait for another attempt pending now, oldest first; their failed attempts still count. "
        "Delayed events keep their time."
    )
    verb = JobVerb.REQUEUE
    done = "Requeued"
    statuses = "scheduled, those of them that have failed before"

    def run(self, given: Filter, *, progress: Callable[[Progress], object], **how: Any) -> Progress:
        return requeue.requeue(given, progress=progress, **how)

    def preview(self, given: Filter, **how: Any) -> Preview:
        return requeue.preview(given, **how)
