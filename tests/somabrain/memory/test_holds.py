"""What may be committed, and what is read again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from somabrain.memory.holds import Holds


def test_what_is_done_may_be_committed() -> None:
    holds = Holds()
    holds.pass_by(0, 4)
    holds.pass_by(1, 9)
    assert holds.committable() == {0: 5, 1: 10}


def test_what_is_held_is_not_committed_and_neither_is_what_comes_after() -> None:
    holds = Holds()
    holds.hold(0, 4, "acme")
    holds.pass_by(0, 4)
    holds.pass_by(0, 5)
    assert holds.committable() == {0: 4}


def test_a_partition_is_read_again_from_the_first_that_waits_of_those_that_are_served() -> None:
    holds = Holds()
    for offset, tenant_id in enumerate(["acme", "globex", "globex", "initech"]):
        holds.hold(0, offset, tenant_id)
        holds.pass_by(0, offset)
    assert holds.rewinds({"globex", "initech"}) == {0: 1}
    holds.rewound(0, 1)
    assert holds.committable() == {0: 0}
    assert holds.tenants == {"acme"}


def test_a_partition_that_is_somebody_elses_is_forgotten() -> None:
    holds = Holds()
    holds.hold(0, 4, "acme")
    holds.pass_by(0, 4)
    holds.forget(0)
    assert (holds.committable(), holds.tenants) == ({}, set())


@given(st.data())
def test_nothing_is_ever_committed_before_it_is_applied_and_all_is_in_the_end(data: st.DataObject) -> None:
    tenants = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=20))
    holds, applied, position, committed = Holds(), set[int](), 0, 0
    for _ in range(data.draw(st.integers(0, 60))):
        served = data.draw(st.sets(st.sampled_from("abc")))
        if data.draw(st.booleans()) and (places := holds.rewinds(served)):
            position = places[0]
            holds.rewound(0, position)
        elif position < len(tenants):
            if tenants[position] in served:
                applied.add(position)
            elif position not in applied:
                holds.hold(0, position, tenants[position])
            holds.pass_by(0, position)
            position += 1
        before, committed = committed, holds.committable().get(0, 0)
        assert before <= committed
        assert applied >= set(range(committed))
    for places in iter(lambda: holds.rewinds("abc"), {}):
        holds.rewound(0, places[0])
        position = places[0]
        while position < len(tenants):
            applied.add(position)
            holds.pass_by(0, position)
            position += 1
    while position < len(tenants):
        applied.add(position)
        holds.pass_by(0, position)
        position += 1
    assert holds.committable()[0] == len(tenants) == len(applied)
