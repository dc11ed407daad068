"""Requeue: retries are due at once, instead of when their backoff ends."""

from __future__ import annotations

from collections.abc import Callable

from outbox.models import EventStatus
from outbox.operations import bulk
from outbox.operations.audit import Operator
from outbox.operations.bulk import Preview, Progress
from outbox.operations.filters import Filter, InvalidFilter


def requeue(
    given: Filter,
    *,
    by: Operator,
    reason: str,
    limit: int | None = None,
    after: str | None = None,
    using: str | None = None,
    progress: Callable[[Progress], object] = lambda _: None,
) -> Progress:
    """Make events that wait for another attempt pending now; their failed attempts still count.

    Delayed events keep their time, which the application chose, and everything else is left alone. An event still
    waits for earlier ones of its key. Raises `InvalidFilter` for other statuses, and `NoReason`.
    """
    change, asked = plan(given)
    return bulk.run(change, asked, by=by, reason=reason, limit=limit, after=after, using=using, progress=progress)


def preview(given: Filter, *, limit: int | None = None, after: str | None = None, using: str | None = None) -> Preview:
    """What `requeue` would do."""
    change, asked = plan(given)
    return bulk.preview(change, asked, limit=limit, after=after, using=using)


def plan(given: Filter) -> tuple[bulk.Change, Filter]:
    """What is done to which events. Raises `InvalidFilter`."""
    wrong = [status.value for status in given.statuses if status is not EventStatus.SCHEDULED]
    if wrong:
        raise InvalidFilter(f"{' and '.join(wrong)} events cannot be requeued: only scheduled ones wait for a time")
    change = bulk.Change(
        verb="requeue",
        done="requeued",
        statement="requeue",
        becomes=EventStatus.PENDING,
        statuses=(EventStatus.SCHEDULED,),
        only_retries=True,
    )
    return change, given.narrowed(statuses=() if given.is_named else (EventStatus.SCHEDULED,))
