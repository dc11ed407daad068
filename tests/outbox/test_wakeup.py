"""The wake-up's rules, on a clock of the test's own."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.wakeup import CHANNEL, Coalescer, compose, parse

tenants = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


def test_the_channel_is_what_relays_listen_to() -> None:
    assert CHANNEL == "outbox_wake"


def test_tenants_are_separated_by_commas() -> None:
    assert compose({"globex", "acme"}) == "acme,globex"
    assert parse("acme,globex") == frozenset({"acme", "globex"})


@given(st.frozensets(tenants, max_size=300))
def test_what_is_composed_is_parsed_again_or_means_everyone(names: frozenset[str]) -> None:
    payload = compose(names)
    assert len(payload) < 8_000
    assert parse(payload) == (None if payload == "*" else names)


def test_too_many_tenants_are_everyone() -> None:
    assert compose(f"tenant-{n}" for n in range(2_000)) == "*"
    assert parse("*") is None


@pytest.mark.parametrize("payload", ["", ",", "a b", "acme:1", ",,*", "acme\n", "DROP TABLE"])
def test_what_names_no_tenant_is_left_out(payload: str) -> None:
    assert parse(payload) == frozenset()


def test_a_stranger_among_the_names_does_not_hide_the_others() -> None:
    assert parse("acme,no tenant,globex") == frozenset({"acme", "globex"})


def test_the_first_commit_after_a_quiet_time_is_told_at_once() -> None:
    coalescer = Coalescer(0.005)
    assert coalescer.offer({"acme"}, now=100.0) == "acme"
    assert coalescer.offer({"acme"}, now=100.005) == "acme"


def test_commits_within_the_interval_are_told_together_at_its_end() -> None:
    coalescer = Coalescer(0.005)
    coalescer.offer({"acme"}, now=100.0)
    assert coalescer.offer({"globex"}, now=100.001) is None
    assert coalescer.offer({"initech"}, now=100.002) is None
    assert coalescer.wait(now=100.002) == pytest.approx(0.003)
    assert coalescer.take(now=100.004) is None
    assert coalescer.take(now=100.005) == "globex,initech"
    assert coalescer.wait(now=100.005) is None
    assert coalescer.take(now=100.01) is None


def test_the_end_of_an_interval_begins_the_next_one() -> None:
    coalescer = Coalescer(0.005)
    coalescer.offer({"acme"}, now=100.0)
    coalescer.offer({"acme"}, now=100.001)
    coalescer.take(now=100.005)
    assert coalescer.offer({"acme"}, now=100.006) is None
    assert coalescer.wait(now=100.006) == pytest.approx(0.004)


def test_the_next_commit_takes_along_what_nobody_told() -> None:
    coalescer = Coalescer(0.005)
    coalescer.offer({"acme"}, now=100.0)
    coalescer.offer({"globex"}, now=100.001)
    assert coalescer.offer({"initech"}, now=100.2) == "globex,initech"


def test_an_interval_of_zero_tells_every_commit() -> None:
    coalescer = Coalescer(0)
    assert [coalescer.offer({name}, now=100.0) for name in "abc"] == ["a", "b", "c"]


@given(st.lists(st.tuples(st.floats(0, 0.02), tenants), max_size=50))
def test_nothing_is_lost_and_no_two_messages_stand_closer_than_the_interval(steps: list[tuple[float, str]]) -> None:
    coalescer, now, told, names = Coalescer(0.005), 0.0, [], set()
    for pause, name in steps:
        wait = coalescer.wait(now)
        if wait is not None and wait <= pause and (payload := coalescer.take(now + wait)):
            told.append((now + wait, payload))
        now += pause
        names.add(name)
        if payload := coalescer.offer({name}, now):
            told.append((now, payload))
    if payload := coalescer.take(now + 0.005):
        told.append((now + 0.005, payload))
    times = [at for at, _ in told]
    assert all(later - earlier >= 0.005 - 1e-9 for earlier, later in itertools.pairwise(times))
    assert {name for _, payload in told for name in parse(payload) or ()} == names
