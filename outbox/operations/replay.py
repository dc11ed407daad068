"""Replay: events are published once more, under the number they have."""

from __future__ import annotations

from collections.abc import Callable

from outbox.models import EventStatus
from outbox.operations import bulk
from outbox.operations.audit import Operator
from outbox.operations.bulk import Preview, Progress
from outbox.operations.filters import Filter, InvalidFilter

DUPLICATE = (
    "Replaying a sent event is a deliberate duplicate: consumers get it again, with the same event-id and a header "
    "`replay`. Those that drop what they have seen drop it."
)

_GIVEN_UP = (EventStatus.FAILED, EventStatus.DISCARDED)


def replay(
    given: Filter,
    *,
    by: Operator,
    reason: str,
    duplicate_sent: bool = False,
    limit: int | None = None,
    after: str | None = None,
    using: str | None = None,
    progress: Callable[[Progress], object] = lambda _: None,
) -> Progress:
    """Make dead letters and discarded events pending again, and sent ones only with `duplicate_sent`.

    They keep their numbers and their places in their keys' order, begin with attempt 1 again, and get a header `replay`
    that counts. Those that are pending or scheduled are left alone, and so are those that somebody changes right now.
    Without a status, only dead letters are meant. Relays publish them at once, in the order of each key.
    Raises `InvalidFilter` for sent events without `duplicate_sent`, and `NoReason`.
    """
    change, asked = plan(given, duplicate_sent=duplicate_sent)
    return bulk.run(change, asked, by=by, reason=reason, limit=limit, after=after, using=using, progress=progress)


def preview(
    given: Filter,
    *,
    duplicate_sent: bool = False,
    limit: int | None = None,
    after: str | None = None,
    using: str | None = None,
) -> Preview:
    """What `replay` would do."""
    change, asked = plan(given, duplicate_sent=duplicate_sent)
    return bulk.preview(change, asked, limit=limit, after=after, using=using)


def plan(given: Filter, *, duplicate_sent: bool = False) -> tuple[bulk.Change, Filter]:
    """What is done to which events. Raises `InvalidFilter`."""
    allowed = (*_GIVEN_UP, EventStatus.SENT) if duplicate_sent else _GIVEN_UP
    wrong = [status.value for status in given.statuses if status not in allowed]
    if EventStatus.SENT.value in wrong:
        raise InvalidFilter("sent events are replayed only when a duplicate is asked for")
    if wrong:
        raise InvalidFilter(f"{' and '.join(wrong)} events cannot be replayed: they are going to be published anyway")
    if not given.statuses and not given.is_named:
        given = given.narrowed(statuses=(EventStatus.FAILED,))
    statuses = given.statuses or allowed
    change = bulk.Change(
        verb="replay", done="replayed", statement="replay", becomes=EventStatus.PENDING, statuses=statuses
    )
    return change, given.narrowed(statuses=()) if given.is_named else given
