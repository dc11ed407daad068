from __future__ import annotations

import pytest

from outbox.relay.looks import PAUSES, TOLD, UNTOLD_FOR_SECONDS, UNTOLD_SECONDS, Looks


def pauses(looks: Looks, *, begin: float, count: int) -> list[float]:
    found, now = [], begin
    for _ in range(count):
        looks.look(now)
        found.append(looks.due - now)
        now = looks.due
    return found


def test_looks_become_rarer_up_to_the_longest_pause() -> None:
    looks = Looks(longest=0.15)
    assert pauses(looks, begin=100.0, count=5) == pytest.approx([0.02, 0.05, 0.1, 0.15, 0.15])
    looks.found_work()
    assert pauses(looks, begin=101.0, count=1) == pytest.approx([0.02])


def test_a_longest_pause_below_all_is_kept() -> None:
    assert pauses(Looks(longest=0.005), begin=0.0, count=2) == pytest.approx([0.005, 0.005])


def test_where_nobody_tells_of_commits_the_first_looks_are_taken_too() -> None:
    looks = Looks(longest=10.0)
    looks.found_untold(told_at=0.0, now=UNTOLD_SECONDS * 1.1)
    assert pauses(looks, begin=2.0, count=len(PAUSES)) == pytest.approx(PAUSES)
    looks.found_work()
    assert pauses(looks, begin=3.0 + UNTOLD_FOR_SECONDS, count=1) == pytest.approx([PAUSES[TOLD]])


def test_events_of_which_a_wake_up_has_just_told_are_no_sign() -> None:
    looks = Looks(longest=10.0)
    looks.found_untold(told_at=0.0, now=UNTOLD_SECONDS)
    assert pauses(looks, begin=2.0, count=1) == pytest.approx([PAUSES[TOLD]])
