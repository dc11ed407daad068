"""What operators did is in the minutes as soon as it is done, and not if it is undone."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum

from outbox.models import EventStatus, MinuteCount
from outbox.operations.discard import discard
from outbox.operations.filters import Filter
from outbox.operations.replay import replay
from outbox.operations.series import Span, series
from tests.outbox.operations.rows import ANN, event, failed

pytestmark = pytest.mark.django_db

Moves = dict[str, tuple[int, int]]
EVERYTHING = Filter(statuses=(EventStatus.PENDING, EventStatus.SCHEDULED, EventStatus.FAILED))


def moves() -> Moves:
    """Discarded and replayed, by tenant."""
    rows = MinuteCount.objects.filter(step=1).values_list("tenant_id").annotate(Sum("discarded"), Sum("replayed"))
    return {tenant: (discarded, replayed) for tenant, discarded, replayed in rows}


def put_into_this_minute() -> None:
    """That of the test's transaction, which another one may have followed."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE outbox_minutes SET minute = date_trunc('minute', now()) WHERE step = 1")


def done(operation: Any, given: Filter, **options: Any) -> None:
    operation(given, by=ANN, reason="because", **options)


def test_what_waited_and_is_discarded_counts_and_dead_letters_do_not() -> None:
    event(1)
    event(2, status=EventStatus.SCHEDULED)
    event(3, tenant_id="other")
    failed(4)
    done(discard, EVERYTHING)
    assert moves() == {"acme": (2, 0), "other": (1, 0), "*": (3, 0)}


def test_dead_letters_that_are_discarded_leave_no_row() -> None:
    failed(1)
    done(discard, Filter())
    assert moves() == {}


def test_what_waits_once_more_is_replayed() -> None:
    failed(1)
    event(2, status=EventStatus.DISCARDED)
    event(3, status=EventStatus.SENT)
    statuses = (EventStatus.FAILED, EventStatus.DISCARDED, EventStatus.SENT)
    done(replay, Filter(statuses=statuses), duplicate_sent=True)
    assert moves() == {"acme": (0, 3), "*": (0, 3)}
    put_into_this_minute()
    assert series(span=Span.QUARTER, tenants=["acme"])[-1].replayed == 3


def test_what_is_undone_is_not_counted() -> None:
    event(1)
    with pytest.raises(RuntimeError), transaction.atomic():
        done(discard, EVERYTHING)
        assert moves()
        raise RuntimeError
    assert moves() == {}
