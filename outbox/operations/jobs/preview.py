"""What a job would be about, counted for a moment and no further: a preview never keeps anybody from starting."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db import OperationalError, connections, transaction

from circuits.timeouts import lower_statement_timeout
from outbox import conf
from outbox.models import JobVerb
from outbox.operations.bulk import MOST_PREVIEWED, settled
from outbox.operations.filters import Filter
from outbox.operations.jobs.verbs import plan
from outbox.operations.listing import CHUNK, Page, page

SECONDS = 1.5
STATEMENT_TIMEOUT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Events that match, as far as they were counted."""

    events: int
    more: bool
    """Whether there may be more than these."""
    tenants: int
    statuses: Mapping[str, int]
    skipped: Mapping[str, int]
    """Events that are named and would be left alone, by status."""


def preview(
    verb: JobVerb,
    given: Filter,
    *,
    tenants: Collection[str] | None = None,
    duplicate_sent: bool = False,
    using: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Found | None:
    """Counts for about a second, and up to `MOST_PREVIEWED` events; None if the database was too busy to answer.

    Raises `InvalidFilter`, and `InvalidJob`.
    """
    alias, until = using or conf.get().database, clock() + SECONDS
    change, asked = plan(verb, given, duplicate_sent=duplicate_sent)
    asked = settled(change, asked, using=alias).narrowed(tenants=None if tenants is None else tuple(tenants))
    statuses: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    names: set[str] = set()
    after: str | None = None
    while True:
        try:
            found = _page(asked, after, alias)
        except OperationalError:
            if after is None:
                return None
            break
        rights = [row for row in found.rows if change.can(row)]
        statuses.update(row.status.value for row in rights)
        skipped.update(change.left_alone(found.rows))
        names.update(row.tenant_id for row in rights)
        after = found.next
        if after is None or statuses.total() >= MOST_PREVIEWED or clock() >= until:
            break
    events = min(statuses.total(), MOST_PREVIEWED)
    return Found(
        events=events, more=after is not None, tenants=len(names), statuses=dict(statuses), skipped=dict(skipped)
    )


def _page(asked: Filter, after: str | None, alias: str) -> Page:
    with transaction.atomic(using=alias):
        lower_statement_timeout(connections[alias], milliseconds=STATEMENT_TIMEOUT // timedelta(milliseconds=1))
        # One less than is read at a time: whether there are more is seen at one event more.
        return page(asked, limit=CHUNK - 1, after=after, using=alias)
