from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from pytest_django import DjangoAssertNumQueries

from outbox.operations.series import Point, Span, series, sparklines
from tests.outbox.operations.minutes import minute, this_minute

pytestmark = pytest.mark.django_db


def last(count: int, *tenants: str, span: Span = Span.QUARTER) -> tuple[Point, ...]:
    return series(span=span, tenants=tenants or None)[-count:]


# Steps


@pytest.mark.parametrize(("span", "points", "step"), [("15m", 15, 1), ("1h", 60, 1), ("24h", 96, 15)])
def test_every_step_has_a_point_though_nothing_happened(span: str, points: int, step: int) -> None:
    found = series(span=Span(span))
    assert len(found) == points
    assert {after.minute - before.minute for before, after in pairwise(found)} == {timedelta(minutes=step)}
    assert timedelta(0) <= this_minute() - found[-1].minute < timedelta(minutes=step)
    assert {(each.sent, each.failed, each.enqueued, each.waiting, each.p99) for each in found} == {
        (0, 0, None, None, None)
    }


def test_all_tenants_are_read_from_one_row_a_minute() -> None:
    minute("*", 0, sent=7, failed=1, discarded=2, replayed=3)
    minute("acme", 0, sent=5)
    (point,) = last(1)
    assert (point.sent, point.failed, point.discarded, point.replayed) == (7, 1, 2, 3)


def test_of_some_tenants_theirs_alone_are_added_up() -> None:
    minute("*", 1, sent=100)
    for tenant, sent in (("a", 1), ("b", 2), ("c", 4)):
        minute(tenant, 1, sent=sent)
    assert [each.sent for each in last(3, "a", "b")] == [0, 3, 0]


def test_of_no_tenant_there_is_nothing() -> None:
    minute("*", 0, sent=100)
    assert {each.sent for each in series(span=Span.HOUR, tenants=[])} == {0}


def test_minutes_of_a_step_are_added_up_and_none_is_left_out() -> None:
    for ago in range(60):
        minute("*", ago, sent=1)
    found = series(span=Span.DAY)
    assert sum(each.sent for each in found) == 60
    assert max(each.sent for each in found) == 15


def test_what_lies_before_the_span_is_not_in_it() -> None:
    minute("*", 15, sent=1)
    assert {each.sent for each in series(span=Span.QUARTER)} == {0}
    minute("*", 14, sent=1)
    assert [each.sent for each in series(span=Span.QUARTER)][:2] == [1, 0]


# What waits, and what was enqueued


def test_what_was_enqueued_is_derived_from_what_left_and_what_waits_more() -> None:
    minute("*", 1, waiting=10)
    minute("*", 0, sent=100, failed=5, discarded=3, replayed=2, waiting=14)
    (point,) = last(1)
    assert (point.waiting, point.enqueued) == (14, 100 + 5 + 3 - 2 + 4)


def test_what_was_enqueued_is_not_known_without_a_count_before_and_after() -> None:
    minute("*", 3, waiting=10)
    minute("*", 2, sent=100)
    minute("*", 1, sent=100, waiting=5)
    assert [(each.waiting, each.enqueued) for each in last(3)] == [(None, None), (5, None), (None, None)]


def test_what_was_enqueued_is_never_negative() -> None:
    minute("*", 1, waiting=100)
    minute("*", 0, sent=10, waiting=50)
    assert [each.enqueued for each in last(1)] == [0]


def test_the_last_count_of_a_step_says_what_waits() -> None:
    minute("*", 0, waiting=7)
    (point,) = last(1, span=Span.DAY)
    assert point.waiting == 7


def test_a_tenant_of_which_a_count_found_nothing_had_nothing_waiting() -> None:
    minute("*", 1, waiting=0)
    minute("*", 0, waiting=0)
    minute("acme", 0, sent=12)
    assert [(each.waiting, each.enqueued) for each in last(1, "acme")] == [(0, 12)]


def test_what_waits_of_several_tenants_is_added_up() -> None:
    minute("*", 0, waiting=100)
    minute("a", 0, waiting=3)
    minute("b", 0, waiting=4)
    assert [each.waiting for each in last(1, "a", "b", "c")] == [7]


def test_a_tenant_without_a_row_among_too_many_is_not_known() -> None:
    minute("*", 0, waiting=100)
    minute("_other", 0, waiting=90)
    minute("a", 0, waiting=3)
    assert [each.waiting for each in last(1, "a")] == [3]
    assert [each.waiting for each in last(1, "a", "b")] == [None]


# Latency


def test_quantiles_are_of_all_that_was_sent_in_the_step() -> None:
    minute("a", 0, sent=98, latency=[0, 98])
    minute("b", 0, sent=2, latency=[0, 0, 0, 0, 2])
    (point,) = last(1, "a", "b")
    assert point.p50 is not None
    assert 0.001 < point.p50 <= 0.002
    assert point.p95 is not None
    assert 0.001 < point.p95 <= 0.002
    assert point.p99 is not None
    assert 0.008 < point.p99 <= 0.016


# Sparklines


def test_sparklines_have_every_step_of_every_tenant() -> None:
    minute("a", 0, sent=5)
    minute("a", 14, sent=2)
    minute("a", 15, sent=9)
    minute("c", 1, sent=1)
    found = sparklines(tenants=["a", "b"], span=Span.QUARTER)
    assert found == {"a": (2, *[0] * 13, 5), "b": (0,) * 15}


def test_sparklines_of_a_day_add_up_the_minutes_of_a_step() -> None:
    for ago in range(90):
        minute("a", ago, sent=1)
    (line,) = sparklines(tenants=["a"], span=Span.DAY).values()
    assert (len(line), sum(line), max(line)) == (96, 90, 15)


@pytest.mark.parametrize("tenants", [None, ["a"], [f"t{n}" for n in range(500)]])
def test_a_chart_is_one_query(tenants: list[str] | None, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    # Two begin and limit the transaction, which a savepoint of two stands for here.
    with django_assert_num_queries(1 + 4):
        series(span=Span.HOUR, tenants=tenants)
    with django_assert_num_queries(1 + 4):
        sparklines(tenants=tenants or [], span=Span.HOUR)
