"""What operators do to events belongs into the minutes of charts as well."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db import connections

from outbox import minutes
from outbox.minutes import Counts
from outbox.models import EventStatus

_WAITING = (EventStatus.PENDING, EventStatus.SCHEDULED)


def record(moved: Iterable[tuple[str, str]], *, to: EventStatus, using: str) -> None:
    """Each event by its tenant and the status it had. Call it last in the transaction that moves them.

    Counted is who begins or ends to wait: from that and from what relays send, what was enqueued is derived.
    """
    counts: defaultdict[str, Counts] = defaultdict(Counts)
    for tenant, status in moved:
        waited = status in _WAITING
        if waited and to not in _WAITING:
            counts[tenant].discarded += 1
        elif not waited and to in _WAITING:
            counts[tenant].replayed += 1
    if counts:
        with connections[using].cursor() as cursor:
            minutes.add(cursor, counts)
