from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.latency import BOUNDS, BUCKETS, bucket, quantile, spread, trimmed

times = st.integers(min_value=-1_000_000, max_value=10**11)


def counts(*events: tuple[int, int]) -> list[int]:
    """So many events in each of these buckets."""
    made = [0] * BUCKETS
    for place, number in events:
        made[place] = number
    return made


def test_buckets_reach_from_a_millisecond_to_more_than_an_hour() -> None:
    assert (BOUNDS[0], BUCKETS) == (0.001, 24)
    assert BOUNDS[-2] < 3_600 < BOUNDS[-1]


@pytest.mark.parametrize(
    ("microseconds", "place"),
    [(-5, 0), (0, 0), (1_000, 0), (1_001, 1), (2_000, 1), (2_001, 2), (4_194_304_000, 22), (4_194_304_001, 23)],
)
def test_a_bucket_holds_its_bound(microseconds: int, place: int) -> None:
    assert bucket(microseconds) == place


@given(microseconds=times)
def test_every_time_lies_within_its_bucket(microseconds: int) -> None:
    place = bucket(microseconds)
    assert place == BUCKETS - 1 or microseconds / 1e6 <= BOUNDS[place]
    assert place == 0 or microseconds / 1e6 > BOUNDS[place - 1]


@given(ends=st.tuples(times, times), events=st.integers(min_value=0, max_value=100_000))
def test_spreading_keeps_every_event_and_stays_between_the_ends(ends: tuple[int, int], events: int) -> None:
    made = [0] * BUCKETS
    spread(made, shortest=min(ends), longest=max(ends), events=events)
    assert sum(made) == events
    assert min(made) >= 0
    assert not any(made[: bucket(min(ends))] + made[bucket(max(ends)) + 1 :])


def test_events_are_spread_evenly() -> None:
    made = [0] * BUCKETS
    spread(made, shortest=0, longest=8_000, events=80)
    assert made[:4] == [10, 10, 20, 40]


def test_ends_that_clocks_have_swapped_count_as_the_shortest() -> None:
    made = [0] * BUCKETS
    spread(made, shortest=9_000, longest=1_000, events=5)
    assert sum(made) == 5


def test_zeros_at_the_end_are_left_out() -> None:
    assert trimmed([0, 2, 0, 0]) == [0, 2]
    assert trimmed([0, 0]) == []


def test_nothing_has_no_quantile() -> None:
    assert quantile([], 0.5) is None
    assert quantile(counts(), 0.99) is None


def test_a_quantile_lies_within_the_bucket_of_its_event() -> None:
    made = counts((3, 90), (10, 9), (15, 1))
    p50, p95, p99 = (quantile(made, q) or 0 for q in (0.5, 0.95, 0.99))
    assert BOUNDS[2] < p50 <= BOUNDS[3]
    assert BOUNDS[9] < p95 <= BOUNDS[10]
    assert BOUNDS[9] < p99 <= BOUNDS[10]
    assert BOUNDS[14] < (quantile(made, 1) or 0) <= BOUNDS[15]


def test_of_times_beyond_the_last_bound_that_bound_is_told() -> None:
    assert quantile(counts((23, 4)), 0.5) == BOUNDS[-1]
