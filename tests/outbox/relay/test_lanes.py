from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from outbox.relay.failures import FailureClass, classify
from outbox.relay.lanes import LASTING_SECONDS, UNLIMITED, Lane, Row
from tests.outbox.relay.conftest import lane

SECOND_US = 1_000_000
NOW_US = 1_000_000 * SECOND_US


class Receipt:
    """What a delivery report says of a delivered message."""

    def __init__(self, partition: int, offset: int | None) -> None:
        self._place = (partition, offset)

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int | None:
        return self._place[1]


def row(event_id: int = 1, *, key: str = "k", created: int = 100, attempts: int = 0) -> Row:
    return (1, event_id, "news", f"dedupe-{event_id}", key, "{}", created, attempts, None, 2)


def report(of: Lane, about: Row, error: KafkaError | None = None) -> None:
    receipt: Any = Receipt(3, 40 + about[1])
    of.report(about, error, receipt)


# Delivery reports


def test_an_acknowledgement_is_kept_with_its_receipt() -> None:
    sent = lane(outstanding=2)
    report(sent, row(1))
    report(sent, row(2))
    assert (sent.ids, sent.partitions, sent.offsets) == ([1, 2], [3, 3], [41, 42])
    assert sent.outstanding == 0


def test_an_acknowledgement_without_an_offset_is_none() -> None:
    """Of a message that the broker calls a repetition. It was found to be on no topic."""
    sent = lane(outstanding=1)
    nowhere: Any = Receipt(3, None)
    sent.report(row(1), None, nowhere)
    assert (sent.ids, sent.outstanding) == ([], 0)
    (failure,) = sent.failures
    assert classify(failure.code) is FailureClass.TRANSIENT
    assert sent.rewind_to == 100


def test_a_report_during_a_settle_goes_to_the_lanes_lists_of_now() -> None:
    """Those of the settle before belong to its thread: what was added there would be lost."""
    sent = lane(outstanding=2)
    report(sent, row(1))
    handed_over, sent.ids, sent.partitions, sent.offsets = sent.ids, [], [], []
    report(sent, row(2))
    assert handed_over == [1]
    assert sent.ids == [2]


def test_a_failed_report_holds_its_key_and_goes_back_to_it() -> None:
    sent = lane(outstanding=2, cursor=200)
    report(sent, row(1, created=100), KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    report(sent, row(2, key="other", created=150))
    assert sent.held_keys == {"k"}
    assert sent.rewind_to == 100
    assert [failure.row[1] for failure in sent.failures] == [1]
    assert sent.outstanding == 0


def test_an_event_without_a_key_holds_nothing_but_is_read_again() -> None:
    sent = lane(outstanding=1, cursor=200)
    report(sent, row(1, key=""), KafkaError(KafkaError._MSG_TIMED_OUT))
    assert sent.held_keys == set()
    assert sent.rewind_to == 100


@pytest.mark.parametrize("isolated", [True, False])
def test_a_failure_says_whether_others_may_have_shared_its_batch(isolated: bool) -> None:
    sent = lane(outstanding=1, isolated=isolated)
    report(sent, row(), KafkaError(KafkaError.INVALID_RECORD))
    assert sent.failures[0].batched is not isolated


# Where to read


def test_going_back_goes_to_the_earliest_place_and_includes_it() -> None:
    back = lane(cursor=500, cursor_id=9)
    for place in (300, 100, 200):
        back.rewind(place)
    back.apply_rewind()
    assert (back.cursor, back.cursor_id) == (100, 0)


def test_going_back_never_goes_forward() -> None:
    back = lane(cursor=500, cursor_id=9)
    back.rewind(501)
    back.apply_rewind()
    assert (back.cursor, back.cursor_id, back.rewind_to) == (500, 9, None)


def test_held_keys_are_free_once_the_lane_has_gone_back() -> None:
    back = lane(cursor=500)
    back.hold_key(row())
    back.apply_rewind()
    assert back.held_keys == set()


def test_a_dry_lane_that_has_to_go_back_has_work() -> None:
    dry = lane(hungry=False, predicted=1, cursor=500)
    dry.rewind(100)
    assert (dry.hungry, dry.predicted) == (True, UNLIMITED)


def test_a_look_for_late_commits_expects_little() -> None:
    dry = lane(hungry=False, cursor=500)
    dry.rewind(100, predicted=1)
    assert (dry.hungry, dry.predicted) == (True, 1)


def test_a_look_behind_a_lane_with_a_backlog_does_not_shrink_its_part() -> None:
    full = lane(cursor=500)
    full.rewind(100, predicted=1)
    assert full.predicted == UNLIMITED


# The floor: where a next holder starts


@pytest.mark.parametrize(
    ("safe", "settled_to", "rewind_to", "floor"),
    [(50, 100, None, 50), (100, 50, None, 50), (100, 100, 20, 20), (50, 100, 70, 50)],
)
def test_the_floor_is_below_whatever_may_still_be_read(
    safe: int, settled_to: int, rewind_to: int | None, floor: int
) -> None:
    assert lane(safe=safe, cursor=100, settled_to=settled_to, rewind_to=rewind_to).floor == floor


def test_what_is_produced_and_not_settled_stays_above_the_floor() -> None:
    """The relay may die now, and the next holder has to read it again."""
    ahead = lane(floor=10, cursor=500, safe=1_000)
    assert ahead.floor == 10
    ahead.begin_settle()
    assert ahead.floor == 10
    ahead.end_settle()
    assert ahead.floor == 500


@pytest.mark.parametrize("state", [{"outstanding": 1}, {"in_round": True}], ids=str)
def test_a_settle_of_a_part_does_not_move_the_floor(state: dict[str, Any]) -> None:
    ahead = lane(floor=10, cursor=500, safe=1_000, **state)
    ahead.begin_settle()
    ahead.end_settle()
    assert ahead.floor == 10


def test_what_is_produced_during_a_settle_stays_above_the_floor() -> None:
    ahead = lane(floor=10, cursor=500, safe=1_000)
    ahead.begin_settle()
    ahead.cursor = 800
    ahead.end_settle()
    assert ahead.floor == 500


def test_settles_end_in_the_order_in_which_they_began() -> None:
    ahead = lane(floor=10, cursor=500, safe=1_000, chunks=[[row(1)]])
    ahead.begin_settle()
    ahead.cursor = 800
    ahead.chunks += [[row(2)], [row(3)]]
    ahead.begin_settle()
    ahead.end_settle()
    assert (ahead.floor, len(ahead.chunks), ahead.clean) == (500, 2, False)
    ahead.end_settle()
    assert (ahead.floor, len(ahead.chunks), ahead.clean) == (800, 0, True)


def test_the_end_of_a_part_leaves_what_a_whole_settle_had_reached() -> None:
    ahead = lane(floor=10, cursor=500, safe=1_000)
    ahead.begin_settle()
    ahead.outstanding = 1
    ahead.begin_settle()
    ahead.end_settle()
    ahead.end_settle()
    assert ahead.floor == 500


def test_going_back_takes_the_floor_along() -> None:
    back = lane(floor=10, cursor=500, settled_to=500, safe=1_000)
    back.rewind(100)
    assert back.floor == 100
    back.apply_rewind()
    assert back.floor == 100


def test_a_wake_up_says_there_is_an_event_and_no_more() -> None:
    dry = lane(hungry=False, woken=False)
    dry.wake(0.0)
    assert (dry.hungry, dry.woken, dry.predicted) == (True, True, 1)


def test_a_wake_up_of_a_lane_with_a_backlog_does_not_shrink_its_part() -> None:
    full = lane(woken=False)
    full.wake(0.0)
    assert full.predicted == UNLIMITED


# Pauses after failures that are nobody's fault


def test_a_backlog_is_what_no_read_has_come_to_the_end_of_for_half_a_second() -> None:
    made = lane(counted=False)
    assert not made.has_backlog(LASTING_SECONDS)
    assert made.has_backlog(1.1 * LASTING_SECONDS)
    made.was_read(10.0, dry=True)
    made.wake(20.0)
    made.was_read(20.0, dry=False)
    made.idle = False
    made.was_read(20.0 + LASTING_SECONDS, dry=False)
    assert not made.has_backlog(20.0 + LASTING_SECONDS)
    assert made.has_backlog(20.0 + 1.1 * LASTING_SECONDS)


def test_what_a_limit_keeps_back_is_no_backlog() -> None:
    made = lane(counted=False, idle=True, capped=True)
    made.was_read(10.0, dry=False)
    made.idle = made.capped = False
    assert not made.has_backlog(10.0 + LASTING_SECONDS)


def test_what_was_left_when_it_was_claimed_counts_until_a_read_comes_to_the_end() -> None:
    made = lane()
    assert made.may_have_backlog
    made.was_read(1.0, dry=False)
    assert made.may_have_backlog
    made.was_read(1.0, dry=True)
    made.idle, made.predicted = False, UNLIMITED
    assert not made.may_have_backlog


@pytest.mark.parametrize(("changes", "hungry"), [({}, False), ({"woken": True}, True), ({"rewind_to": 5}, True)])
def test_a_lane_that_was_read_to_its_end_is_read_again_when_it_was_woken_meanwhile_or_has_to_go_back(
    changes: dict[str, Any], hungry: bool
) -> None:
    made = lane(**({"woken": False} | changes))
    made.was_read(1.0, dry=True)
    assert (made.hungry, made.predicted) == (hungry, 1)


def test_pauses_grow_from_a_fiftieth_of_a_second_to_two_seconds() -> None:
    tired = lane()
    pauses = []
    for _ in range(15):
        tired.rest(100.0)
        pauses.append(round(tired.rest_until - 100.0, 3))
    assert pauses[:4] == [0.02, 0.04, 0.08, 0.16]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 2.0


# Rates: generic cell rate algorithm with a tolerance of one event and 200 ms


def limited(rate: float, **state: Any) -> Lane:
    return lane(rate=rate, **state)


def send(of: Lane, events: int, now_us: int) -> None:
    of.charge(events=events, sent=events, cost=float(events), now_us=now_us)


def test_without_a_rate_or_quota_everything_is_allowed() -> None:
    assert lane().allowance(NOW_US) == UNLIMITED


def test_a_quota_is_the_most_of_a_round() -> None:
    assert lane(batch_quota=7).allowance(NOW_US) == 7
    assert limited(1_000.0, batch_quota=7).allowance(NOW_US) == 7
    assert limited(2.0, batch_quota=7).allowance(NOW_US) == 1


def test_one_event_and_a_fifth_of_a_second_may_be_sent_at_once() -> None:
    assert limited(1_000.0).allowance(NOW_US) == 201
    assert limited(0.001).allowance(NOW_US) == 1


def test_what_was_sent_is_used_up() -> None:
    sending = limited(1_000.0)
    send(sending, 201, NOW_US)
    assert sending.allowance(NOW_US) == 0
    assert sending.allowance(NOW_US + 50_000) == 50
    assert sending.allowance(NOW_US + 10 * SECOND_US) == 201


def test_a_rate_below_one_a_second_allows_one_at_a_time() -> None:
    slow = limited(0.001)
    send(slow, 1, NOW_US)
    assert slow.allowance(NOW_US + 999 * SECOND_US) == 0
    assert slow.allowance(NOW_US + 1_001 * SECOND_US) == 1


@given(st.floats(0.001, 1e9), st.lists(st.integers(0, 5 * SECOND_US), min_size=1, max_size=60))
def test_a_rate_is_kept_over_any_time(rate: float, pauses: list[int]) -> None:
    sending, now, sent = limited(rate), NOW_US, 0
    for pause in pauses:
        now += pause
        allowed = int(sending.allowance(now))
        if allowed:
            send(sending, allowed, now)
            sent += allowed
    seconds = (now - NOW_US) / 1e6
    # A microsecond of rounding for each time something was sent.
    assert sent <= (seconds + 0.2 + 2e-6 * len(pauses)) * rate + 2


@given(st.floats(0.1, 10_000), st.integers(10_000, 200_000))
def test_a_lane_that_always_has_work_reaches_its_rate(rate: float, round_us: int) -> None:
    sending, sent, now = limited(rate), 0, NOW_US
    while now < NOW_US + 20 * SECOND_US:
        allowed = int(sending.allowance(now))
        if allowed:
            send(sending, allowed, now)
            sent += allowed
        now += round_us
    assert sent >= 0.99 * rate * 20 - 1


def test_cost_follows_what_is_sent() -> None:
    large = lane()
    for _ in range(30):
        large.charge(events=10, sent=10, cost=250.0, now_us=NOW_US)
    assert large.cost == pytest.approx(25.0, rel=0.01)
    assert large.virtual_time == pytest.approx(30 * 250)


def test_service_is_charged_by_weight() -> None:
    heavy = lane(weight=4.0)
    heavy.charge(events=10, sent=10, cost=10.0, now_us=NOW_US)
    assert heavy.virtual_time == 2.5
