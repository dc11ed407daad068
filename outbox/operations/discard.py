"""Discard: events that are not to be published, for as long as nobody replays them."""

from __future__ import annotations

from collections.abc import Callable

from outbox import conf
from outbox.models import EventStatus
from outbox.operations import bulk
from outbox.operations.audit import Operator
from outbox.operations.bulk import Preview, Progress
from outbox.operations.filters import Filter, InvalidFilter

UNDER_WAY = "An event that is under way at this moment may still be delivered; then it becomes sent."

_UNPUBLISHED = (EventStatus.PENDING, EventStatus.SCHEDULED, EventStatus.FAILED)


def discard(
    given: Filter,
    *,
    by: Operator,
    reason: str,
    limit: int | None = None,
    after: str | None = None,
    using: str | None = None,
    progress: Callable[[Progress], object] = lambda _: None,
) -> Progress:
    """Give up events that are pending, scheduled or dead letters. Without a status, only dead letters are meant.

    The later events of a key that waited for a discarded one go out. What is under way and acknowledged becomes sent
    all the same. Raises `InvalidFilter` for other statuses, and `NoReason`.
    """
    change, asked = plan(given)
    return bulk.run(change, asked, by=by, reason=reason, limit=limit, after=after, using=using, progress=progress)


def preview(given: Filter, *, limit: int | None = None, after: str | None = None, using: str | None = None) -> Preview:
    """What `discard` would do."""
    change, asked = plan(given)
    return bulk.preview(change, asked, limit=limit, after=after, using=using)


def plan(given: Filter) -> tuple[bulk.Change, Filter]:
    """What is done to which events. Raises `InvalidFilter`."""
    wrong = [status.value for status in given.statuses if status not in _UNPUBLISHED]
    if wrong:
        raise InvalidFilter(
            f"{' and '.join(wrong)} events cannot be discarded: nothing is going to be published of them"
        )
    if not given.statuses and not given.is_named:
        given = given.narrowed(statuses=(EventStatus.FAILED,))
    change = bulk.Change(
        verb="discard",
        done="discarded",
        statement="discard",
        becomes=EventStatus.DISCARDED,
        statuses=given.statuses or _UNPUBLISHED,
        parameters={"dead_letters_block": conf.get().dead_letter_blocks_key},
    )
    return change, given.narrowed(statuses=()) if given.is_named else given
