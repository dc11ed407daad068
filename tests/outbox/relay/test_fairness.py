from math import inf, isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.relay.fairness import PAGE_BYTES, Claim, cost_of, fair_parts, shares, water_level

QUANTUM = 4

times = st.floats(0, 1e9)
weights = st.floats(0.001, 1e6)
costs = st.floats(1, 1_000)
demands = st.one_of(st.integers(0, 5_000).map(float), st.just(inf))
claims = st.builds(Claim, times, weights, costs, demands)


def rounds(lanes: list[Claim], *, budget: int, number: int) -> list[int]:
    """Events that lanes which never run dry receive over many rounds."""
    served = [0] * len(lanes)
    for _ in range(number):
        for at, share in enumerate(shares(lanes, budget=budget, quantum=QUANTUM)):
            lanes[at].virtual_time += share * lanes[at].cost / lanes[at].weight
            served[at] += share
    return served


@pytest.mark.parametrize(
    ("payload_bytes", "cost"), [(0, 1), (1, 1), (PAGE_BYTES, 1), (2 * PAGE_BYTES, 2), (10 * PAGE_BYTES, 10)]
)
def test_an_event_costs_its_pages_and_one_at_least(payload_bytes: int, cost: float) -> None:
    assert cost_of(payload_bytes) == cost


def test_equal_lanes_share_a_round_equally() -> None:
    assert shares([Claim(7.0)] * 4, budget=1_000, quantum=QUANTUM) == [250] * 4


def test_weights_share_a_round_in_proportion() -> None:
    lanes = [Claim(0.0, weight=weight) for weight in (5, 3, 2)]
    assert shares(lanes, budget=1_000, quantum=QUANTUM) == [500, 300, 200]


def test_large_events_are_fewer() -> None:
    assert shares([Claim(0.0), Claim(0.0, cost=9)], budget=1_000, quantum=QUANTUM) == [900, 100]


def test_what_small_lanes_leave_goes_to_the_others() -> None:
    lanes = [Claim(0.0, most=10), Claim(0.0, most=1), Claim(0.0), Claim(0.0)]
    assert shares(lanes, budget=1_011, quantum=QUANTUM) == [10, 1, 500, 500]


def test_one_lane_with_work_beside_nine_dry_ones_gets_the_round() -> None:
    assert shares([Claim(0.0)] + [Claim(0.0, most=1)] * 9, budget=1_000, quantum=QUANTUM)[0] >= 991


def test_a_budget_beyond_all_demand_gives_everyone_everything() -> None:
    lanes = [Claim(0.0, most=10), Claim(50.0, weight=0.001, most=7), Claim(3.0, weight=1e6, cost=3, most=2)]
    assert water_level(lanes, budget=1_000) == inf
    assert shares(lanes, budget=1_000, quantum=QUANTUM) == [10, 7, 2]


def test_a_lane_that_is_behind_is_served_first() -> None:
    assert shares([Claim(0.0), Claim(100.0)], budget=50, quantum=QUANTUM) == [50, 0]
    assert shares([Claim(0.0), Claim(100.0)], budget=300, quantum=QUANTUM) == [200, 100]


def test_a_turn_is_worth_a_quantum_or_all_there_is() -> None:
    lanes = [Claim(0.0, most=1), *[Claim(0.0) for _ in range(99)]]
    assert shares(lanes, budget=100, quantum=QUANTUM) == [1] + [QUANTUM] * 99


def test_a_lane_that_may_send_nothing_gets_nothing() -> None:
    assert shares([Claim(0.0, most=0), Claim(0.0)], budget=10, quantum=QUANTUM) == [0, 10]


def test_no_lanes_no_shares() -> None:
    assert shares([], budget=10, quantum=QUANTUM) == []


def test_parts_of_a_budget_go_by_weight_and_cost() -> None:
    assert fair_parts([Claim(0.0), Claim(9.0, weight=2.0), Claim(0.0, cost=2.0)], budget=70) == [20.0, 40.0, 10.0]


def test_a_quantum_more_than_its_share_is_paid_back_over_rounds() -> None:
    served = rounds([Claim(0.0, weight=weight) for weight in (5, 3, 2)], budget=7, number=1_000)
    total = sum(served)
    assert [each / total for each in served] == pytest.approx([0.5, 0.3, 0.2], abs=0.01)


def test_a_thousandth_of_the_weight_is_served_a_thousandth_and_not_never() -> None:
    served = rounds([Claim(0.0, weight=0.001), Claim(0.0, weight=1.0)], budget=100, number=1_000)
    assert 0 < served[0] <= 100 + QUANTUM
    assert served[1] >= 99_000


def test_a_thousand_times_the_weight_leaves_the_others_their_part() -> None:
    served = rounds([Claim(0.0, weight=1_000.0), *[Claim(0.0) for _ in range(10)]], budget=1_010, number=100)
    assert served[0] == pytest.approx(100_000, rel=0.01)
    assert min(served[1:]) >= 90


@given(st.lists(claims, max_size=40), st.integers(1, 5_000), st.integers(1, 50))
def test_nobody_gets_more_than_it_can_use_and_the_budget_is_spent(
    lanes: list[Claim], budget: int, quantum: int
) -> None:
    given_out = shares(lanes, budget=budget, quantum=quantum)
    assert all(0 <= share <= claim.most for share, claim in zip(given_out, lanes, strict=True))
    usable = sum(claim.most for claim in lanes)
    # Rounding up gives more and never less, but for the last digits of the sums.
    assert sum(given_out) >= min(budget, usable) * (1 - 1e-6) - 1
    assert sum(given_out) <= budget * (1 + 1e-6) + len(lanes) * max(quantum, 1) + 1


@given(st.lists(claims, min_size=1, max_size=40), st.integers(1, 5_000))
def test_the_level_is_finite_as_long_as_somebody_wants_more(lanes: list[Claim], budget: int) -> None:
    level = water_level(lanes, budget=budget)
    assert isfinite(level) or sum(claim.most for claim in lanes) <= budget * (1 + 1e-6)
    if isfinite(level):
        assert level >= min(claim.virtual_time for claim in lanes)


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.floats(1, 50)), min_size=2, max_size=8),
    st.integers(10, 2_000),
)
def test_lanes_that_never_run_dry_are_served_by_weight_and_cost(lanes: list[tuple[float, float]], budget: int) -> None:
    backlogged = [Claim(0.0, weight, cost) for weight, cost in lanes]
    served = rounds(backlogged, budget=budget, number=200)
    final = [claim.virtual_time for claim in backlogged]
    # Start-time fair queuing: two lanes with work are never further apart than what a turn may add to each.
    apart = [max(QUANTUM, budget + 1) * claim.cost / claim.weight for claim in backlogged]
    assert max(final) - min(final) <= max(apart) * 2
    assert sum(served) >= budget * 200
