"""The list as staff go through it: all that matches, once, forth and back."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise, product
from typing import Any

import pytest

from outbox.models import EventStatus, OutboxEvent
from outbox.operations import browse as browsing
from outbox.operations.browse import Sheet, browse
from outbox.operations.filters import Filter, InvalidFilter
from tests.outbox.operations.rows import BEGAN, event, failed

pytestmark = pytest.mark.django_db


def ids(sheet: Sheet) -> list[int]:
    return [row.event_id for row in sheet.rows]


def all_pages(given: Filter, *, limit: int = 3) -> list[Sheet]:
    """From the newest to the oldest."""
    sheets = [browse(given, limit=limit)]
    while sheets[-1].older is not None:
        sheets.append(browse(given, limit=limit, after=sheets[-1].older))
        assert len(sheets) < 60
    return sheets


@pytest.fixture
def many() -> None:
    """Three tenants, all statuses, two topics, two classes, two keys; some at the same time."""
    classes = {"failed": ("topic", "poison"), "scheduled": ("topic", "")}
    for number, (tenant, status, topic) in enumerate(
        product(("acme", "beta", "zeta"), EventStatus.values * 2, ("orders", "returns"))
    ):
        event(
            number // 2 * 7 % 40,
            tenant_id=tenant,
            status=status,
            topic=topic,
            error_class=classes.get(status, ("",))[number // 2 % len(classes.get(status, ("",)))],
            partition_key="17" if number % 3 else "",
        )


def matching(given: Filter) -> list[int]:
    """As a look at the whole table finds them."""
    rows = [row for row in OutboxEvent.objects.all() if given.matches(_row(row))]
    by_number = given.tenant_id is None and given.tenants is None and len(given.possible) == len(EventStatus)
    rows.sort(key=lambda row: row.pk if by_number else (row.tenant_id, row.created_at, row.pk), reverse=True)
    return [row.pk for row in rows]


def _row(row: OutboxEvent) -> Any:
    row.event_id = row.pk  # type: ignore[attr-defined]
    return row


CHOICES = [
    Filter(tenant_id=tenant, tenants=tenants, statuses=statuses, topic=topic, error_class=kind, created_before=before)
    for tenant, tenants, statuses, topic, kind, before in product(
        (None, "beta"),
        (None, ("acme", "beta"), ("zeta",)),
        ((), (EventStatus.FAILED,), (EventStatus.PENDING, EventStatus.SENT)),
        (None, "returns"),
        (None, "topic"),
        (None, BEGAN + timedelta(seconds=20)),
    )
]


def test_each_combination_finds_all_that_matches_once_and_in_order(many: None) -> None:
    for given in CHOICES:
        sheets = all_pages(given)
        expected = [] if given.is_of_nobody else matching(given)
        assert [event_id for sheet in sheets for event_id in ids(sheet)] == expected, given


def test_newer_leads_back_the_same_way(many: None) -> None:
    for given in CHOICES[::5]:
        sheets = all_pages(given)
        assert sheets[0].newer is None
        for newer, older in pairwise(sheets):
            if older.rows and len(newer.rows) == 3:
                back = browse(given, limit=3, before=older.newer)
                assert ids(back) == ids(newer), given
                assert back.older == newer.older


def test_what_is_looked_for_ends_and_goes_on(many: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "MOST_LOOKED_AT", 4)
    for given in CHOICES:
        if given.topic is None or given.is_of_nobody:
            continue
        sheets = all_pages(given, limit=3)
        assert [event_id for sheet in sheets for event_id in ids(sheet)] == matching(given), given
        assert all(sheet.looked_to for sheet in sheets if sheet.older and len(sheet.rows) < 3)


def test_a_partition_key_is_looked_for_a_day_at_a_time() -> None:
    day = 86_400
    found = [event(second, partition_key="17") for second in (0, 100, day // 2, 30 * day, 30 * day + 5)]
    event(31 * day - 10, partition_key="18"), event(5, partition_key="17", tenant_id="beta")
    given = Filter(tenant_id="acme", partition_key="17")
    sheets = all_pages(given, limit=10)
    assert [event_id for sheet in sheets for event_id in ids(sheet)] == [row.pk for row in reversed(found)]
    assert len(sheets) == 3
    assert sheets[0].rows == ()
    assert sheets[0].looked_to is not None
    assert sheets[-1].older is None
    assert sheets[-1].looked_to is None


def test_a_partition_key_is_found_on_the_way_back() -> None:
    old, new = event(0, partition_key="17"), event(40 * 86_400, partition_key="17")
    given = Filter(tenant_id="acme", partition_key="17")
    last = all_pages(given)[-1]
    assert ids(last) == [old.pk]
    place = last.newer
    seen: list[int] = []
    while place is not None:
        sheet = browse(given, before=place)
        place, seen = sheet.newer, seen + ids(sheet)
    assert seen == [new.pk]


def test_an_empty_partition_key_is_one() -> None:
    with_none, _ = event(0), event(1, partition_key="17")
    event(2)
    place = f"acme/{int((BEGAN + timedelta(seconds=2)).timestamp()) * 1_000_000}/0"
    assert ids(browse(Filter(tenant_id="acme", partition_key=""), after=place)) == [with_none.pk]


def test_named_events_are_found_whatever_else_is_asked_if_it_holds() -> None:
    one, other = failed(dedupe_key="order-17"), failed(tenant_id="beta", dedupe_key="order-17")
    assert ids(browse(Filter(ids=(one.pk, other.pk)))) == [other.pk, one.pk]
    assert ids(browse(Filter(tenant_id="acme", dedupe_key="order-17"))) == [one.pk]
    assert ids(browse(Filter(tenant_id="acme", dedupe_key="order-1"))) == []
    assert ids(browse(Filter(ids=(one.pk,), topic="returns"))) == []
    assert ids(browse(Filter(ids=(one.pk,), tenants=("beta",)))) == []


@pytest.mark.parametrize("place", ["nowhere", "acme/x/1", "acme/99999999999999999999/1", "acme/-1000000000000000/1"])
def test_a_place_that_no_page_has_named_is_refused(place: str) -> None:
    for given in (Filter(tenant_id="acme"), Filter(tenant_id="acme", partition_key="17")):
        with pytest.raises(InvalidFilter, match="no place"):
            browse(given, after=place)


def test_a_number_that_no_page_has_named_is_refused() -> None:
    for place in ("acme/1/1", "-1", "9" * 30, "\u0661"):
        with pytest.raises(InvalidFilter, match="no place"):
            browse(Filter(), before=place)


def test_a_partition_key_is_one_of_a_tenant() -> None:
    with pytest.raises(InvalidFilter, match="name the tenant"):
        Filter(partition_key="17")


def test_of_all_events_the_old_ones_are_found_behind_any_number_of_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [event(second).pk for second in range(40)]
    OutboxEvent.objects.filter(pk__in=rows[3:30:2]).delete()
    monkeypatch.setattr(browsing, "MOST_LOOKED_AT", 5)
    monkeypatch.setattr(browsing, "OUT_OF_ORDER", 1)
    for second in (0, 1, 3, 4, 17, 39, 100):
        before = BEGAN + timedelta(seconds=second)
        expected = OutboxEvent.objects.filter(created_at__lt=before).order_by("-id").values_list("pk", flat=True)
        assert ids(browse(Filter(created_before=before), limit=4)) == list(expected[:4])


def test_of_no_events_none_are_old() -> None:
    assert ids(browse(Filter(created_before=BEGAN))) == []
