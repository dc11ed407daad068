from __future__ import annotations

import pytest

from outbox.relay.level import MOST_SHIFT, SHIFT_PER_SECOND, Level


def rising(*, to: float = 1_000.0, pace: float = 1_000.0) -> Level:
    """At `to` after the first second."""
    level = Level()
    level.note(to - pace, 0.0, served=0.0)
    level.note(to, 1.0, served=pace)
    return level


def test_it_is_carried_on_at_its_pace() -> None:
    assert rising().pace == 1_000.0
    assert rising().value(1.5) == 1_500.0


def test_it_stands_nowhere_without_a_backlog() -> None:
    assert Level().value(0.0) is None
    assert rising().value(2.1) is None


def test_a_pace_is_measured_over_half_a_second_at_least() -> None:
    level = rising()
    level.note(1_900.0, 1.4, served=900.0)
    assert level.pace == 1_000.0
    level.note(2_000.0, 1.5, served=100.0)
    assert level.pace == 2_000.0


@pytest.mark.parametrize("value", [500.0, 9_000.0])
def test_lanes_that_come_and_go_move_it_and_are_no_pace(value: float) -> None:
    level = rising()
    level.note(value, 2.0, served=1_000.0)
    assert (level.pace, level.value(2.0)) == (1_000.0, value)


def test_it_begins_anew_after_a_pause() -> None:
    level = rising()
    level.note(9_000.0, 100.0, served=50.0)
    assert (level.pace, level.value(100.0)) == (0.0, 9_000.0)


@pytest.mark.parametrize(
    ("others", "shift"),
    [
        (1_000.0, 0.0),
        (800.0, 0.2 * SHIFT_PER_SECOND),
        (1_200.0, -0.2 * SHIFT_PER_SECOND),
        (-1e9, MOST_SHIFT),
        (1e9, -MOST_SHIFT),
        (None, 0.0),
    ],
)
def test_who_is_ahead_takes_more(others: float | None, shift: float) -> None:
    assert rising().shift(others, 1.0) == pytest.approx(shift)


def test_a_moment_without_service_does_not_make_a_small_lead_a_long_one() -> None:
    level = rising()
    level.note(1_010.0, 1.5, served=10.0)
    assert level.pace == 20.0
    assert level.ahead_by(800.0, 1.5) == pytest.approx(210 / (1_000 - 0.2 * 980))


def test_who_stands_nowhere_takes_an_equal_part() -> None:
    assert Level().shift(1_000.0, 1.0) == 0.0
    standing = Level()
    standing.note(5.0, 1.0, served=0.0)
    assert standing.shift(1_000.0, 1.0) == 0.0
