from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from circuits.window import Window


def test_calls_and_failures_are_counted() -> None:
    window = Window(10)
    assert window.add(failed=False, now=0) == (1, 0)
    assert window.add(failed=True, now=0.5) == (2, 1)


@pytest.mark.parametrize(("later", "calls"), [(8.9, 3), (10, 2), (10.9, 2), (11, 1), (1_000_000, 1)])
def test_what_is_older_than_the_window_is_forgotten(later: float, calls: int) -> None:
    window = Window(10)
    window.add(failed=True, now=0)
    window.add(failed=True, now=1)
    assert window.add(failed=False, now=later) == (calls, calls - 1)


def test_a_cleared_window_is_empty() -> None:
    window = Window(10)
    window.add(failed=True, now=3)
    window.clear()
    assert window.add(failed=False, now=3) == (1, 0)


@given(seconds=st.floats(1, 3_600), steps=st.lists(st.tuples(st.floats(0, 500), st.booleans()), max_size=60))
def test_it_agrees_with_a_list_of_all_calls(seconds: float, steps: list[tuple[float, bool]]) -> None:
    """Up to the tenth of the window that is forgotten at a time."""
    window, now, seen = Window(seconds), 0.0, list[tuple[float, bool]]()
    for wait, failed in steps:
        now += wait
        seen.append((now, failed))
        calls, failures = window.add(failed=failed, now=now)
        surely = [each for each in seen if each[0] > now - seconds * 0.9 + 1e-6]
        perhaps = [each for each in seen if each[0] > now - seconds - 1e-6]
        assert len(surely) <= calls <= len(perhaps)
        assert sum(fails for _, fails in surely) <= failures <= sum(fails for _, fails in perhaps)
