"""Which events a list has, and in which order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outbox.models import EventStatus, OutboxEvent
from outbox.operations import listing
from outbox.operations.filters import MOST_IDS, Filter, InvalidFilter, Place
from tests.outbox.operations.rows import BEGAN, event, failed

pytestmark = pytest.mark.django_db


def listed(given: Filter, **how: Any) -> list[int]:
    """Ids over all pages."""
    ids: list[int] = []
    following: str | None = None
    while True:
        found = listing.page(given, after=following, **{"limit": 2, **how})
        ids += [row.event_id for row in found.rows]
        following = found.next
        if following is None:
            return ids


def ids(*rows: OutboxEvent) -> list[int]:
    return [row.pk for row in rows]


def test_without_a_filter_events_come_by_number() -> None:
    rows = [event(5, tenant_id="zeta"), event(3), event(9, status=EventStatus.SENT), failed(1)]
    assert listed(Filter()) == ids(*rows)
    assert listed(Filter(), newest_first=True) == ids(*rows)[::-1]


def test_events_of_a_status_come_by_tenant_and_age() -> None:
    late, other, early = failed(9), failed(1, tenant_id="zeta"), failed(3)
    event(2)
    assert listed(Filter(statuses=(EventStatus.FAILED,))) == ids(early, late, other)
    assert listed(Filter(statuses=(EventStatus.FAILED,)), newest_first=True) == ids(other, late, early)


def test_a_tenants_events_of_all_statuses_come_by_age() -> None:
    rows = [event(1, status=status) for status in (EventStatus.SENT, EventStatus.PENDING)]
    rows += [failed(2), event(3, status=EventStatus.SCHEDULED), event(4, status=EventStatus.DISCARDED)]
    event(2, tenant_id="zeta")
    assert listed(Filter(tenant_id="acme")) == ids(*rows)
    assert listed(Filter(tenant_id="acme"), newest_first=True) == ids(*rows)[::-1]


def test_a_key_over_several_statuses_is_in_its_order() -> None:
    """Or a replay of both would change it."""
    first, second, third = failed(1), event(2, status=EventStatus.DISCARDED), failed(3)
    given = Filter(statuses=(EventStatus.DISCARDED, EventStatus.FAILED))
    assert listed(given, limit=1) == ids(first, second, third)


def test_events_created_at_one_moment_are_neither_repeated_nor_left_out() -> None:
    rows = [failed(1) for _ in range(5)]
    assert listed(Filter(statuses=(EventStatus.FAILED,)), limit=2) == ids(*rows)
    assert listed(Filter(statuses=(EventStatus.FAILED,)), limit=2, newest_first=True) == ids(*rows)[::-1]


def test_all_that_is_given_has_to_hold() -> None:
    wanted = failed(1, topic="returns")
    failed(1), failed(1, topic="returns", error_class="poison"), failed(8, topic="returns")
    failed(1, topic="returns", tenant_id="zeta"), event(1, topic="returns")
    given = Filter(
        tenant_id="acme",
        topic="returns",
        error_class="topic",
        created_before=BEGAN + timedelta(seconds=5),
        up_to_id=wanted.pk + 100,
    )
    assert listed(given) == [wanted.pk]
    assert listed(given.narrowed(up_to_id=wanted.pk - 1)) == []


def test_an_error_class_means_dead_letters_and_retries() -> None:
    retry = event(2, status=EventStatus.SCHEDULED, error_class="topic", attempts=1)
    dead = failed(1)
    event(3, status=EventStatus.SENT, error_class="topic")
    assert listed(Filter(error_class="topic")) == ids(dead, retry)


def test_age_without_a_tenant_is_looked_at_event_by_event() -> None:
    old, _, older = failed(1, tenant_id="zeta"), failed(9), failed(0)
    given = Filter(statuses=(EventStatus.FAILED,), created_before=BEGAN + timedelta(seconds=5))
    assert listed(given) == ids(older, old)


def test_a_long_search_stops_and_goes_on_where_it_stopped() -> None:
    for second in range(5):
        event(second)
    wanted = event(9, topic="returns")
    given = Filter(statuses=(EventStatus.PENDING,), topic="returns")
    found = listing.page(given, limit=10, most=4)
    assert (found.rows, found.looked_at) == ((), 4)
    found = listing.page(given, limit=10, most=4, after=found.next)
    assert ([row.event_id for row in found.rows], found.next) == ([wanted.pk], None)


def test_events_are_named_by_number_or_by_dedupe_key() -> None:
    first, second = event(1, dedupe_key="order-1"), event(0)
    event(0, tenant_id="zeta", dedupe_key="order-1")
    assert listed(Filter(ids=(first.pk, second.pk, 10**12))) == ids(second, first)
    assert listed(Filter(ids=(first.pk, second.pk)), newest_first=True) == ids(first, second)
    assert listed(Filter(tenant_id="acme", dedupe_key="order-1")) == [first.pk]
    assert listed(Filter(ids=(first.pk,), tenant_id="zeta")) == []


def test_a_page_that_is_just_full_is_the_last_one() -> None:
    failed(1), failed(2)
    assert listing.page(Filter(statuses=(EventStatus.FAILED,)), limit=2).next is None


def test_a_row_has_no_payload() -> None:
    row = listing.page(Filter(ids=(event(payload={"secret": 1}).pk,)), limit=1).rows[0]
    assert "secret" not in str(row)
    assert (row.tenant_id, row.status) == ("acme", EventStatus.PENDING)


@pytest.mark.parametrize("after", ["", "acme", "acme/x/1", "acme/1/x", "acme/1", "a/1/2/3", f"acme/{10**30}/1"])
def test_a_place_that_no_list_has_named_is_refused(after: str) -> None:
    with pytest.raises(InvalidFilter, match="is no place"):
        listing.page(Filter(statuses=(EventStatus.FAILED,)), limit=1, after=after)


@pytest.mark.parametrize("after", ["acme/1/2", "-1", "9" * 30, "²"])
def test_a_place_by_number_is_a_number(after: str) -> None:
    with pytest.raises(InvalidFilter, match="is no place"):
        listing.page(Filter(), limit=1, after=after)


def test_a_place_reads_back_to_the_microsecond() -> None:
    place = Place("acme", BEGAN + timedelta(microseconds=1), 17)
    assert Place.parse(str(place)) == place


def test_too_many_and_impossible_numbers_are_refused() -> None:
    with pytest.raises(InvalidFilter, match="at most"):
        Filter(ids=tuple(range(1, MOST_IDS + 2)))
    for number in (0, -1, 2**63):
        with pytest.raises(InvalidFilter, match="positive"):
            Filter(ids=(number,))


def test_an_age_is_counted_by_the_databases_clock() -> None:
    cutoff = listing.created_before(age=timedelta(hours=1))
    assert timedelta(minutes=59) < listing.database_now() - cutoff < timedelta(minutes=61)
    with pytest.raises(InvalidFilter, match="no events"):
        listing.created_before(age=timedelta(days=999_999))


def test_what_was_asked_for_can_be_recorded() -> None:
    given = Filter(tenant_id="acme", statuses=(EventStatus.FAILED,), created_before=BEGAN, ids=(1,))
    assert given.as_json() == {
        "tenant": "acme",
        "status": ["failed"],
        "created_before": BEGAN.isoformat(),
        "ids": [1],
    }


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("statuses", [(), (EventStatus.FAILED,), (EventStatus.FAILED, EventStatus.PENDING)])
def test_events_of_other_tenants_do_not_exist_for_whoever_is_limited(
    statuses: tuple[EventStatus, ...], newest_first: bool
) -> None:
    rows = [failed(second, tenant_id=tenant) for tenant in ("acme", "beta", "mint", "zeta") for second in (1, 1, 2)]
    rows += [event(second, tenant_id="mint") for second in (1, 3)]
    given = Filter(tenants=("zeta", "acme", "mint"), statuses=statuses)
    visible = [row for row in rows if row.tenant_id != "beta" and (not statuses or row.status in statuses)]
    visible.sort(key=lambda row: (row.tenant_id, row.created_at, row.pk), reverse=newest_first)
    assert listed(given, newest_first=newest_first) == ids(*visible)


def test_nor_do_they_by_name() -> None:
    theirs, other = failed(1), failed(1, tenant_id="zeta", dedupe_key="k")
    limited = Filter(tenants=("acme",))
    assert listed(limited) == ids(theirs)
    found = listing.page(limited.narrowed(ids=(theirs.pk, other.pk)), limit=9)
    assert (len(found.rows), found.looked_at) == (1, 1)
    assert listed(limited.narrowed(tenant_id="zeta", dedupe_key="k")) == []
    assert listed(limited.narrowed(tenant_id="zeta")) == []
    assert listed(Filter(tenants=())) == []


def test_whoever_is_limited_chooses_like_everybody_else() -> None:
    wanted = failed(1, topic="returns")
    failed(1), failed(8, topic="returns"), failed(1, topic="returns", tenant_id="beta")
    of_zeta = failed(2, topic="returns", tenant_id="zeta")
    given = Filter(
        tenants=("acme", "zeta"),
        statuses=(EventStatus.FAILED,),
        topic="returns",
        error_class="topic",
        created_before=BEGAN + timedelta(seconds=5),
    )
    assert listed(given) == ids(wanted, of_zeta)


def test_what_was_asked_for_reads_back() -> None:
    everything = Filter(
        tenant_id="acme",
        tenants=("acme", "zeta"),
        topic="orders",
        statuses=(EventStatus.FAILED,),
        error_class="topic",
        created_before=BEGAN,
        ids=(1,),
        dedupe_key="a",
        up_to_id=7,
    )
    for given in (Filter(), Filter(tenants=()), everything):
        assert Filter.from_json(given.as_json()) == given


def test_a_limit_to_some_tenants_holds_for_every_list() -> None:
    ours = [event(2), failed(5), event(9, tenant_id="zeta"), event(1, tenant_id="zeta", status=EventStatus.SENT)]
    theirs = event(3, tenant_id="evil")
    limited = Filter(tenants=("zeta", "none", "acme"))
    in_order = ids(ours[0], ours[1], ours[3], ours[2])
    assert listed(limited) == in_order
    assert listed(limited, newest_first=True) == in_order[::-1]
    assert listed(limited.narrowed(tenant_id="evil")) == []
    assert listed(limited.narrowed(tenant_id="zeta")) == ids(ours[3], ours[2])
    assert listed(limited.narrowed(ids=(ours[0].pk, theirs.pk))) == ids(ours[0])
    assert listed(Filter(tenants=())) == []
