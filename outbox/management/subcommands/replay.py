"""`manage.py outbox replay`: events are published once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outbox.management.subcommands.changing import Changing
from outbox.models import EventStatus, JobVerb
from outbox.operations import replay
from outbox.operations.bulk import Preview, Progress
from outbox.operations.filters import Filter


class Replay(Changing):
    help = (
        "Makes dead letters and discarded events pending again, oldest first; relays publish them at once, with the "
        "same event-id and a header `replay`. With --status sent also sent events: a deliberate duplicate."
    )
    verb = JobVerb.REPLAY
    done = "Replayed"

    def run(self, given: Filter, *, progress: Callable[[Progress], object], **how: Any) -> Progress:
        return replay.replay(given, duplicate_sent=_asks_for_sent(given), progress=progress, **how)

    def preview(self, given: Filter, **how: Any) -> Preview:
        return replay.preview(given, duplicate_sent=_asks_for_sent(given), **how)

    def job_options(self, given: Filter) -> dict[str, Any]:
        return {"duplicate_sent": _asks_for_sent(given)}

    def warning(self, found: Preview) -> str:
        return replay.DUPLICATE if EventStatus.SENT.value in found.statuses else ""


def _asks_for_sent(given: Filter) -> bool:
    return EventStatus.SENT in given.statuses
