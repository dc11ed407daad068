from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.relay.fairness import MOST_CREDIT, PAGE_BYTES
from outbox.relay.lanes import LASTING_SECONDS, UNLIMITED, Failure, Lane
from outbox.relay.plan import MOST_ISOLATED, Plan, plan
from tests.outbox.relay.conftest import lane

SECOND_US = 1_000_000
NOW_US = 1_000 * SECOND_US
NO_END = 1e9


def planned(lanes: Collection[Lane], **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "budget": 1_000,
        "most_bytes": 8_000_000,
        "quantum": 4,
        "virtual_now": 0.0,
        "now": 10.0,
        "now_us": NOW_US,
    }
    return plan(lanes, **(given | changes))


def quotas(part: Plan) -> dict[str, int]:
    return {each.tenant: quota for each, quota in zip(part.lanes, part.quotas, strict=True)}


def serve(part: Plan) -> None:
    """Every planned lane gets exactly its quota, of small events."""
    for each, quota in zip(part.lanes, part.quotas, strict=True):
        each.charge(events=quota, sent=quota, cost=float(quota), now_us=NOW_US)


def test_lanes_with_work_share_the_budget() -> None:
    assert quotas(planned([lane("a"), lane("b")])) == {"a": 500, "b": 500}


def test_lanes_above_the_ceiling_are_left_out() -> None:
    part = planned([lane("low", virtual_time=5.0), lane("high", virtual_time=6.0)], ceiling=5.0)
    assert quotas(part) == {"low": 1_000}


def test_a_lane_without_a_backlog_is_never_above_it() -> None:
    part = planned([lane("woken", virtual_time=6.0, idle=True, predicted=1)], ceiling=5.0)
    assert list(quotas(part)) == ["woken"]


def test_a_lane_that_came_a_moment_ago_is_not_above_it_either() -> None:
    """It may have as little as fills one quota, while what is known of the least served of all is a second old."""
    came = lane("came", virtual_time=6.0, filling_since=10.0 - LASTING_SECONDS)
    stayed = lane("stayed", virtual_time=6.0, filling_since=9.9 - LASTING_SECONDS)
    assert list(quotas(planned([came, stayed], ceiling=5.0))) == ["came"]


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert planned([]) == Plan([], [], 0.0)
    assert planned([lane(hungry=False)], virtual_now=7.0) == Plan([], [], 7.0)


@pytest.mark.parametrize(
    "state",
    [
        {"hungry": False},
        {"in_round": True},
        {"outstanding": 1},
        {"leaving": True},
        {"paused": True},
        {"topic_wait": "news"},
        {"rest_until": 10.1},
        {"deadline": 10.0},
        {"rate": 10.0, "rate_clock": NOW_US},
    ],
    ids=str,
)
def test_a_lane_that_may_not_send_takes_nothing_from_the_others(state: dict[str, Any]) -> None:
    assert quotas(planned([lane("kept", **state), lane("b"), lane("c")])) == {"b": 500, "c": 500}


# Work conserving


def test_what_a_dry_lane_leaves_is_given_to_the_others() -> None:
    dry = [lane(f"dry-{n}", predicted=1) for n in range(9)]
    assert quotas(planned([lane("full"), *dry]))["full"] >= 991


def test_a_lane_predicted_to_have_one_event_may_have_a_quantum() -> None:
    assert quotas(planned([lane("a", predicted=1), lane("b")]))["a"] == 4


# Idle time is not saved up


def test_a_lane_that_was_idle_starts_where_the_least_served_one_is() -> None:
    idle, busy = lane("idle", idle=True), lane("busy", virtual_time=700.0)
    part = planned([idle, busy])
    assert idle.virtual_time == part.virtual_now == 700.0
    assert quotas(part) == {"idle": 500, "busy": 500}


def test_a_lane_that_was_idle_and_served_before_its_turn_still_owes() -> None:
    idle, busy = lane("idle", idle=True, virtual_time=900.0), lane("busy", virtual_time=700.0)
    planned([idle, busy])
    assert idle.virtual_time == 900.0


def test_a_lane_that_had_all_its_limit_let_it_stays_among_the_first() -> None:
    """Others come in at any virtual time; but no more than so much is saved up."""
    held, busy = lane("held", batch_quota=20), lane("busy", virtual_time=700.0)
    part = planned([held, busy])
    assert (quotas(part)["held"], held.capped) == (20, True)
    busy.virtual_time = MOST_CREDIT + 900.0
    planned([held, busy])
    assert held.virtual_time == 900.0


def test_a_lane_that_had_nothing_saves_nothing_up_whatever_its_limit_is() -> None:
    idle, busy = lane("idle", idle=True, batch_quota=20), lane("busy", virtual_time=700.0)
    planned([idle, busy])
    assert idle.virtual_time == 700.0


def test_time_starts_where_it_was_when_all_were_idle() -> None:
    both = [lane("a", idle=True), lane("b", idle=True, virtual_time=60.0)]
    assert planned(both, virtual_now=50.0).virtual_now == 50.0
    assert [each.virtual_time for each in both] == [50.0, 60.0]


def test_virtual_time_never_runs_back_within_a_relay() -> None:
    assert planned([lane(virtual_time=3.0)], virtual_now=50.0).virtual_now == 50.0


def test_a_lane_whose_rate_is_used_up_saves_little_up() -> None:
    limited = lane("limited", rate=10.0, rate_clock=NOW_US - SECOND_US)
    busy = lane("busy")
    part = planned([limited, busy])
    assert quotas(part)["limited"] == 3
    serve(part)
    for _ in range(20):
        serve(planned([limited, busy], now_us=NOW_US + 1))
    part = planned([limited, busy], now_us=NOW_US + SECOND_US)
    assert limited.virtual_time == busy.virtual_time - MOST_CREDIT > 0


def test_a_lane_at_its_batch_quota_saves_little_up() -> None:
    small, busy = lane("small", batch_quota=10), lane("busy")
    for _ in range(20):
        serve(planned([small, busy]))
    part = planned([small, busy])
    assert quotas(part) == {"small": 10, "busy": 990}
    assert small.virtual_time == busy.virtual_time - MOST_CREDIT > 0


# Bounds


def test_a_batch_quota_bounds_a_round() -> None:
    assert quotas(planned([lane("a", batch_quota=3), lane("b")])) == {"a": 3, "b": 997}


def test_a_round_is_bounded_by_bytes_once_the_size_of_events_is_known() -> None:
    part = planned([lane(cost=100.0)], budget=5_000, most_bytes=8_000_000)
    assert quotas(part)["acme"] <= 8_000_000 / (100 * PAGE_BYTES)


def test_an_event_larger_than_a_round_goes_alone() -> None:
    assert quotas(planned([lane(cost=100.0)], most_bytes=1_000)) == {"acme": 1}


def test_what_a_rate_allows_bounds_a_round() -> None:
    part = planned([lane("a", rate=1_000.0), lane("b")])
    assert quotas(part) == {"a": 201, "b": 799}


def test_a_lane_under_suspicion_sends_no_more_than_can_be_delivered_one_by_one() -> None:
    part = planned([lane("a", suspect_until=10.1), lane("b"), lane("c", suspect_until=9.9)])
    assert quotas(part)["a"] == MOST_ISOLATED
    assert quotas(part)["c"] > MOST_ISOLATED


# While others are away


def waiting(number: int, **changes: Any) -> list[Lane]:
    """For their reports."""
    return [lane(f"waits-{n}", **({"outstanding": 10} | changes)) for n in range(number)]


@pytest.mark.parametrize("where", [{"outstanding": 10}, {"outstanding": 0, "leaving": True}])
def test_the_few_at_hand_do_not_get_the_round_of_those_that_are_away(where: dict[str, Any]) -> None:
    """Reports that are late for a moment would put them ahead by a second of their service."""
    part = planned([lane("a"), lane("b"), *waiting(18, **where)])
    assert quotas(part) == {"a": 100, "b": 100}


def test_those_at_hand_get_what_lifts_them_to_those_that_are_away() -> None:
    behind, level = lane("behind", virtual_time=9_600.0), lane("level", virtual_time=10_000.0)
    part = planned([behind, level, *waiting(8, virtual_time=10_000.0)])
    assert quotas(part) == {"behind": 460, "level": 200}


def test_a_part_is_one_by_weight() -> None:
    part = planned([lane("heavy", weight=5.0), lane("light"), *waiting(14)])
    assert quotas(part) == {"heavy": 500, "light": 100}


def test_a_lane_ahead_of_those_that_are_away_goes_on_at_its_pace() -> None:
    """Reports may be late for long, and are no reason to stop."""
    assert quotas(planned([lane("ahead", virtual_time=1e6), *waiting(19)])) == {"ahead": 100}


def test_a_part_is_a_quantum_at_least() -> None:
    assert quotas(planned([lane("a"), *waiting(999)], budget=50)) == {"a": 4}


@pytest.mark.parametrize("trouble", [{"isolated": True}, {"topic_wait": "orders"}, {"idle": True}, {"predicted": 1}])
def test_nothing_is_kept_for_lanes_in_trouble_or_without_a_backlog(trouble: dict[str, Any]) -> None:
    assert quotas(planned([lane("a"), *waiting(9, **trouble)])) == {"a": 1_000}


@given(
    st.lists(st.tuples(st.integers(0, 50_000), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 5_000),
)
def test_a_round_is_not_larger_for_those_that_are_away(lanes: list[tuple[int, bool]], budget: int) -> None:
    held = [lane(f"t-{n}", virtual_time=float(at), outstanding=int(away)) for n, (at, away) in enumerate(lanes)]
    part = planned(held, budget=budget)
    assert {each.tenant for each in part.lanes} <= {each.tenant for each in held if not each.outstanding}
    assert sum(part.quotas) <= budget + 5 * len(lanes)


# Going back


def test_a_lane_goes_back_before_it_goes_on() -> None:
    back = lane(cursor=500, cursor_id=9)
    back.rewind(100)
    assert quotas(planned([back]))
    assert (back.cursor, back.cursor_id, back.rewind_to) == (100, 0, None)


@pytest.mark.parametrize("under_way", ["outstanding", "settling", "reported", "failed"])
def test_a_lane_with_something_under_way_goes_back_only_when_that_is_settled(under_way: str) -> None:
    back = lane(cursor=500)
    back.rewind(100)
    match under_way:
        case "outstanding" | "settling":
            setattr(back, under_way, 1)
        case "reported":
            back.ids.append(1)
        case "failed":
            back.failures.append(Failure((), 1, "", False))
    assert quotas(planned([back])) == {}
    assert back.rewind_to == 100


def test_a_lane_whose_rows_are_being_produced_goes_back_only_afterwards() -> None:
    """Express plans in the middle of a round, and the rest of the round would move the cursor on again."""
    back = lane(cursor=500, in_round=True)
    back.rewind(100)
    planned([back])
    assert back.rewind_to == 100


# Virtual times stay sane


@given(
    st.lists(st.tuples(st.sampled_from([0.001, 1.0, 1_000.0]), st.integers(0, 400)), min_size=2, max_size=6),
    st.integers(1, 300),
)
def test_every_lane_is_served_in_the_end_whatever_its_weight(lanes: list[tuple[float, int]], budget: int) -> None:
    held = [lane(f"tenant-{n}", weight=weight) for n, (weight, _) in enumerate(lanes)]
    left = {each.tenant: events for each, (_, events) in zip(held, lanes, strict=True)}
    virtual_now = 0.0
    for _ in range(10_000):
        if not any(left.values()):
            break
        part = planned(held, budget=budget, virtual_now=virtual_now)
        virtual_now = part.virtual_now
        for each, quota in zip(part.lanes, part.quotas, strict=True):
            taken = min(quota, left[each.tenant])
            left[each.tenant] -= taken
            if taken:
                each.charge(events=taken, sent=taken, cost=float(taken), now_us=NOW_US)
            if taken < quota:
                each.idle, each.predicted, each.hungry = True, 1, bool(left[each.tenant])
            else:
                each.predicted = UNLIMITED
    assert not any(left.values())
    assert all(0 <= each.virtual_time < 1e9 for each in held)
