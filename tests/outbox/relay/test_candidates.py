from __future__ import annotations

from outbox.relay.candidates import MOST, REFUSED_SECONDS, Candidates
from outbox.relay.lanes import UNLIMITED


def offered(*tenants: str, now: float = 0.0) -> Candidates:
    made = Candidates()
    for tenant in tenants:
        made.add(tenant, now=now)
    return made


def refused(*tenants: str, now: float = 0.0) -> Candidates:
    made = offered(*tenants, now=now)
    made.refuse(tenants, now=now)
    return made


def test_nobody_is_due() -> None:
    made = Candidates()
    assert (made.due(1e9), made.next_due()) == ([], UNLIMITED)


def test_a_thousand_are_asked_for_at_a_time_the_longest_known_first() -> None:
    made = offered(*(f"tenant-{n}" for n in range(MOST + 5)))
    assert made.due(0.0) == [f"tenant-{n}" for n in range(MOST)]


def test_one_whose_time_has_not_come_is_not_due() -> None:
    made = offered("a")
    made.at["b"] = 5.0
    assert (made.due(4.9), made.due(5.0), made.next_due()) == (["a"], ["a", "b"], 0.0)


def test_what_was_refused_and_offered_again_is_due_when_that_is_over() -> None:
    made = refused("a", "silent", now=1.0)
    made.add("a", now=1.1)
    assert (made.at, made.next_due()) == ({}, 1.0 + REFUSED_SECONDS)
    made.take_heard(1.0 + REFUSED_SECONDS * 0.9)
    assert made.at == {}
    made.take_heard(1.0 + REFUSED_SECONDS)
    assert list(made.at) == ["a"]
    assert made.next_due() == 1.0 + REFUSED_SECONDS


def test_a_changed_policy_lets_all_be_asked_for_again() -> None:
    made = refused("a", "b", now=1.0)
    made.add("a", now=1.1)
    made.ask_again()
    made.take_heard(1.1)
    made.add("b", now=1.1)
    assert list(made.at) == ["a", "b"]


def test_a_lane_that_was_set_free_is_due_whether_it_was_refused_or_not() -> None:
    made = refused("a", "b", now=1.0)
    made.add("b", now=1.1)
    made.free(["a", "b", "c"], now=1.1)
    assert made.due(1.1) == ["a", "b", "c"]
    assert made.next_due() == 1.1
    made.take_heard(1.0 + REFUSED_SECONDS)
    assert list(made.at) == ["a", "b", "c"]


def test_a_lane_that_was_set_free_is_due_at_once_or_has_been() -> None:
    made = offered("a", now=1.0)
    made.at["b"] = 9.0
    made.free(["a", "b"], now=2.0)
    assert made.at == {"a": 1.0, "b": 2.0}


def test_refusals_that_are_over_are_forgotten() -> None:
    made = refused("a", now=1.0)
    made.forget_old(1.0 + REFUSED_SECONDS)
    made.add("a", now=1.0)
    assert list(made.at) == ["a"]
