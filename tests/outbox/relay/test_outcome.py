from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError

from outbox.conf import OutboxSettings
from outbox.relay.lanes import Failure, Lane
from outbox.relay.outcome import ISOLATION_SECONDS, MESSAGE_CHARACTERS, Outcomes
from outbox.relay.settle import Failed, LaneState, Settle
from tests.outbox.relay.conftest import lane

NOW = 500.0


def state(of: Lane, *, floor: int, has_work: bool) -> LaneState:
    return LaneState(of.tenant, of.token, of.virtual_time, None, of.row_floor, floor, has_work)


def outcomes(*, answers: bool = True, draw: float = 1.0, **values: Any) -> Outcomes:
    return Outcomes(
        settings=OutboxSettings(**values),
        state=state,
        broker_answers=lambda produced_at: answers,
        random=lambda: draw,
        clock=lambda: NOW,
    )


def failed_lane(*codes: int, attempts: int = 0, batched: bool = False, **changes: Any) -> Lane:
    made = lane(**changes)
    for number, code in enumerate(codes):
        made.failures.append(Failure((1, number, "news", "d", "k", "{}", 0, attempts, None, 2), code, "no", batched))
    return made


def failed(job: Settle) -> list[tuple[int, float | None]]:
    return [(event.event_id, event.delay) for event in job.failed]


# What goes into a job


def test_nothing_reported_is_an_empty_job() -> None:
    job = outcomes().job([lane(outstanding=3)])
    assert (job.acknowledged, job.failed, job.released, job.fenced) == ([], [], [], {})


def test_receipts_are_handed_over_and_the_lane_begins_new_lists() -> None:
    sent = lane(ids=[1, 2], partitions=[0, 1], offsets=[7, 8], token=5)
    job = outcomes().job([sent])
    (receipts,) = job.acknowledged
    assert (receipts.tenant, receipts.token, receipts.ids) == ("acme", 5, [1, 2])
    assert (receipts.partitions, receipts.offsets) == ([0, 1], [7, 8])
    assert job.fenced == {"acme": 5}
    sent.ids.append(3)
    assert receipts.ids == [1, 2]
    assert sent.settling == 1


def test_a_failure_is_handed_over_once() -> None:
    broken = failed_lane(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    builder = outcomes()
    assert len(builder.job([broken]).failed) == 1
    assert builder.job([broken]).failed == []


def test_a_failure_makes_the_next_fetch_careful() -> None:
    """Its key waits in the database now, and what a renewal read before that is outdated."""
    broken = failed_lane(KafkaError.TOPIC_AUTHORIZATION_FAILED, blocked=False)
    outcomes().job([broken])
    assert broken.blocked is True
    assert broken.block_changes == 1


# Releases


def test_a_lane_that_leaves_is_released_with_its_last_report() -> None:
    leaving = lane(leaving=True, ids=[1], partitions=[0], offsets=[0], cursor=900, safe=950)
    job = outcomes().job([leaving])
    assert [given.tenant for given in job.released] == ["acme"]
    assert len(job.acknowledged) == 1
    assert job.released[0].floor == 900


def test_a_lane_is_not_released_while_reports_are_missing() -> None:
    job = outcomes().job([lane(leaving=True, outstanding=1, ids=[1], partitions=[0], offsets=[0])])
    assert job.released == []
    assert len(job.acknowledged) == 1


def test_a_lane_with_nothing_under_way_is_released_by_itself() -> None:
    job = outcomes().job([lane(leaving=True, token=3), lane("globex", leaving=True, shared=True)])
    assert job.handed_over == ["globex"]
    job = outcomes().job([lane(leaving=True, token=3)])
    assert job.fenced == {"acme": 3}
    assert len(job.released) == 1


def test_a_released_lane_starts_again_before_what_failed() -> None:
    leaving = lane(leaving=True, cursor=900, safe=950)
    leaving.fail((1, 1, "news", "d", "k", "{}", 300, 0, None, 2), KafkaError._TRANSPORT, "down")
    assert outcomes().job([leaving]).released[0].floor == 300


@pytest.mark.parametrize(
    ("changes", "has_work"),
    [
        ({"hungry": True}, True),
        ({"hungry": False}, False),
        ({"paused": True}, False),
        # About to look whether there is something: if that counted, idle time would be saved up.
        ({"hungry": True, "woken": False, "predicted": 1}, False),
        ({"hungry": True, "woken": True, "predicted": 1}, True),
        ({"hungry": True, "woken": False, "predicted": 1, "rewind_to": 5}, True),
    ],
)
def test_a_released_lane_says_whether_it_has_work(changes: dict[str, Any], has_work: bool) -> None:
    assert outcomes().job([lane(leaving=True, **changes)]).released[0].has_work is has_work


# Failures by class


def test_a_tenants_fault_burns_an_attempt_and_waits() -> None:
    job = outcomes(backoff_base_seconds=0.5, draw=0.5).job([failed_lane(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
    assert failed(job) == [(0, 0.25)]
    assert job.failed[0].error_class == "topic_authorization_failed"


def test_the_wait_doubles_with_every_attempt_up_to_its_cap() -> None:
    builder = outcomes(backoff_base_seconds=0.5, backoff_max_seconds=300)
    waits = [
        failed(builder.job([failed_lane(KafkaError.POLICY_VIOLATION, attempts=before)]))[0][1] for before in range(12)
    ]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_the_last_attempt_ends_as_a_dead_letter() -> None:
    builder = outcomes(max_attempts=3)
    codes = [KafkaError.UNKNOWN_TOPIC_OR_PART]
    assert failed(builder.job([failed_lane(*codes, attempts=1)]))[0][1] is not None
    assert failed(builder.job([failed_lane(*codes, attempts=2)])) == [(0, None)]


def test_poison_is_a_dead_letter_at_once() -> None:
    assert failed(outcomes().job([failed_lane(KafkaError.MSG_SIZE_TOO_LARGE)])) == [(0, None)]


def test_a_refused_batch_condemns_nobody_and_goes_again_one_by_one() -> None:
    suspect = failed_lane(KafkaError.INVALID_RECORD, KafkaError.INVALID_RECORD, batched=True)
    job = outcomes().job([suspect])
    assert (job.failed, job.fenced) == ([], {})
    assert suspect.suspect_until == NOW + ISOLATION_SECONDS


def test_suspicion_outlasts_the_pause_that_a_rate_demands() -> None:
    """Or the events would share a batch again, be refused again, and so for ever."""
    suspect = failed_lane(KafkaError.INVALID_RECORD, batched=True, rate=0.01)
    outcomes().job([suspect])
    assert suspect.suspect_until > NOW + 100.0


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._FATAL,
        KafkaError.INVALID_PRODUCER_EPOCH,
    ],
)
@pytest.mark.parametrize("attempts", [0, 1_000])
def test_nobodys_fault_burns_nothing_and_kills_nothing(code: int, attempts: int) -> None:
    broken = failed_lane(code, attempts=attempts)
    job = outcomes().job([broken])
    assert (job.failed, job.fenced) == ([], {})
    assert not broken.blocked


@pytest.mark.parametrize("code", [KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_INFLIGHT, KafkaError._PURGE_QUEUE])
def test_nobody_is_blamed_for_a_time_out_while_the_broker_is_silent(code: int) -> None:
    assert outcomes(answers=False).job([failed_lane(code)]).failed == []
    assert len(outcomes(answers=True).job([failed_lane(code)]).failed) == 1


@pytest.mark.parametrize("code", [KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.KAFKA_STORAGE_ERROR, KafkaError.UNKNOWN])
def test_what_the_broker_itself_says_needs_no_other_sign_of_life(code: int) -> None:
    """Otherwise an event that is always answered so would be sent again for ever."""
    assert len(outcomes(answers=False).job([failed_lane(code)]).failed) == 1


def test_a_failure_that_is_nobodys_fault_is_tried_again_after_a_moment() -> None:
    broken = failed_lane(*[KafkaError._TRANSPORT] * 500)
    outcomes().job([broken])
    assert broken.rest_until == pytest.approx(NOW + 0.02)


def test_the_moment_grows_while_nothing_is_delivered() -> None:
    broken, builder = lane(), outcomes()
    for _ in range(3):
        broken.failures = failed_lane(KafkaError._TRANSPORT).failures
        builder.job([broken])
    assert broken.rest_until == pytest.approx(NOW + 0.08)
    broken.ids = [1]
    builder.job([broken])
    broken.failures = failed_lane(KafkaError._TRANSPORT).failures
    builder.job([broken])
    assert broken.rest_until == pytest.approx(NOW + 0.02)


def test_a_message_is_cut_and_can_be_stored() -> None:
    broken = lane()
    row = (1, 9, "news", "d", "k", "{}", 0, 0, None, 2)
    broken.failures.append(Failure(row, KafkaError.POLICY_VIOLATION, "a\x00" * 1_000, False))
    (event,) = outcomes().job([broken]).failed
    assert isinstance(event, Failed)
    assert "\x00" not in event.message
    assert len(event.message) <= MESSAGE_CHARACTERS


# When acknowledged events were created


def test_the_times_of_acknowledged_chunks_are_handed_over_once() -> None:
    sent = lane(ids=[1, 2, 3], partitions=[0] * 3, offsets=[1, 2, 3], spans=[(10, 20, 2), (30, 30, 1)])
    (receipts,) = outcomes().job([sent]).acknowledged
    assert receipts.spans == [(10, 20, 2), (30, 30, 1)]
    assert sent.spans == []


def test_of_a_lane_with_reports_to_come_the_first_times_are_handed_over() -> None:
    sent = lane(ids=[1], partitions=[0], offsets=[1], outstanding=3, spans=[(10, 50, 4)])
    (receipts,) = outcomes().job([sent]).acknowledged
    assert receipts.spans == [(10, 20, 1)]
    assert sent.spans == [(20, 50, 3)]


def test_times_of_what_failed_are_forgotten_with_the_last_report() -> None:
    broken = failed_lane(KafkaError.MSG_SIZE_TOO_LARGE, spans=[(10, 20, 2)], ids=[1], partitions=[0], offsets=[1])
    (receipts,) = outcomes().job([broken]).acknowledged
    assert sum(events for _, _, events in receipts.spans) == 1
    assert broken.spans == []
