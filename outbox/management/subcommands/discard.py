"""`manage.py outbox discard`: events are given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outbox.management.subcommands.changing import Changing
from outbox.models import EventStatus, JobVerb
from outbox.operations import discard
from outbox.operations.bulk import Preview, Progress
from outbox.operations.filters import Filter


class Discard(Changing):
    help = (
        "Gives up events that are pending, scheduled or dead letters: they are not published unless somebody replays "
        "them. Later events of a key that waited for a discarded one go out."
    )
    verb = JobVerb.DISCARD
    done = "Discarded"

    def run(self, given: Filter, *, progress: Callable[[Progress], object], **how: Any) -> Progress:
        return discard.discard(given, progress=progress, **how)

    def preview(self, given: Filter, **how: Any) -> Preview:
        return discard.preview(given, **how)

    def warning(self, found: Preview) -> str:
        return discard.UNDER_WAY if EventStatus.PENDING.value in found.statuses else ""
