import random as random_module

from hypothesis import given
from hypothesis import strategies as st

from outbox.relay.backoff import delay

seconds = st.floats(min_value=0.001, max_value=1e6)
draws = st.floats(min_value=0, max_value=1, exclude_max=True)


def ceiling(attempts: int, *, base: float, cap: float) -> float:
    """The longest delay: what the limit of the random numbers gives."""
    return delay(attempts, base=base, cap=cap, random=lambda: 1.0)


def test_the_ceiling_doubles_with_every_attempt() -> None:
    assert [ceiling(attempts, base=0.5, cap=300) for attempts in range(1, 6)] == [0.5, 1, 2, 4, 8]


def test_the_ceiling_stops_at_the_cap() -> None:
    assert ceiling(11, base=0.5, cap=300) == 300
    assert ceiling(10_000, base=0.5, cap=300) == 300


def test_no_attempt_counts_as_the_first() -> None:
    assert ceiling(0, base=0.5, cap=300) == 0.5


def test_the_whole_range_is_used() -> None:
    drawn = random_module.Random(7)  # noqa: S311
    delays = [delay(4, base=1, cap=300, random=drawn.random) for _ in range(1_000)]
    assert min(delays) < 0.1
    assert max(delays) > 7.9
    assert 3.7 < sum(delays) / len(delays) < 4.3


@given(attempts=st.integers(0, 10_000), base=seconds, cap=seconds, draw=draws)
def test_every_delay_lies_between_nothing_and_the_cap(attempts: int, base: float, cap: float, draw: float) -> None:
    assert 0 <= delay(attempts, base=base, cap=cap, random=lambda: draw) <= cap


@given(attempts=st.integers(1, 10_000), base=seconds, cap=seconds)
def test_the_ceiling_never_falls(attempts: int, base: float, cap: float) -> None:
    assert ceiling(attempts, base=base, cap=cap) <= ceiling(attempts + 1, base=base, cap=cap)
