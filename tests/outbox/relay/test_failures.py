import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from outbox.relay.failures import (
    SERIALISATION,
    Disposition,
    FailureClass,
    classify,
    decide,
    error_class,
)

CODES = {
    KafkaError.MSG_SIZE_TOO_LARGE: (FailureClass.POISON, "msg_size_too_large"),
    KafkaError.INVALID_RECORD: (FailureClass.POISON, "invalid_record"),
    KafkaError._INVALID_ARG: (FailureClass.POISON, "invalid_arg"),
    SERIALISATION: (FailureClass.POISON, "value_serialization"),
    KafkaError.POLICY_VIOLATION: (FailureClass.TOPIC, "policy_violation"),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: (FailureClass.TOPIC, "topic_authorization_failed"),
    KafkaError.UNKNOWN_TOPIC_OR_PART: (FailureClass.TOPIC, "unknown_topic_or_part"),
    KafkaError._UNKNOWN_TOPIC: (FailureClass.TOPIC, "unknown_topic"),
    KafkaError._UNKNOWN_PARTITION: (FailureClass.TOPIC, "unknown_partition"),
    KafkaError._ALL_BROKERS_DOWN: (FailureClass.BROKER, "all_brokers_down"),
    KafkaError._TRANSPORT: (FailureClass.BROKER, "transport"),
    KafkaError._AUTHENTICATION: (FailureClass.BROKER, "authentication"),
    KafkaError.SASL_AUTHENTICATION_FAILED: (FailureClass.BROKER, "sasl_authentication_failed"),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: (FailureClass.BROKER, "cluster_authorization_failed"),
    KafkaError._FATAL: (FailureClass.PROCESS, "fatal"),
    KafkaError._FENCED: (FailureClass.PROCESS, "fenced"),
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER: (FailureClass.PROCESS, "out_of_order_sequence_number"),
    KafkaError.INVALID_PRODUCER_EPOCH: (FailureClass.TRANSIENT, "invalid_producer_epoch"),
    KafkaError.UNKNOWN_PRODUCER_ID: (FailureClass.TRANSIENT, "unknown_producer_id"),
    KafkaError.DUPLICATE_SEQUENCE_NUMBER: (FailureClass.TRANSIENT, "duplicate_sequence_number"),
    KafkaError._INVALID_DIFFERENT_RECORD: (FailureClass.TRANSIENT, "invalid_different_record"),
    KafkaError._QUEUE_FULL: (FailureClass.TRANSIENT, "queue_full"),
    KafkaError._MSG_TIMED_OUT: (FailureClass.AMBIGUOUS, "msg_timed_out"),
    KafkaError._PURGE_QUEUE: (FailureClass.AMBIGUOUS, "purge_queue"),
    KafkaError._PURGE_INFLIGHT: (FailureClass.AMBIGUOUS, "purge_inflight"),
    KafkaError.NOT_LEADER_FOR_PARTITION: (FailureClass.AMBIGUOUS, "not_leader_for_partition"),
    KafkaError.NOT_ENOUGH_REPLICAS: (FailureClass.AMBIGUOUS, "not_enough_replicas"),
}

# class: with the first of three attempts, with the last; the broker silent, then answering.
DISPOSITIONS = {
    FailureClass.POISON: (Disposition.DEAD, Disposition.DEAD, Disposition.DEAD, Disposition.DEAD),
    FailureClass.TOPIC: (Disposition.RETRY, Disposition.DEAD, Disposition.RETRY, Disposition.DEAD),
    FailureClass.BROKER: (Disposition.NEUTRAL,) * 4,
    FailureClass.PROCESS: (Disposition.NEUTRAL,) * 4,
    FailureClass.TRANSIENT: (Disposition.NEUTRAL,) * 4,
    FailureClass.AMBIGUOUS: (
        Disposition.NEUTRAL,
        Disposition.NEUTRAL,
        Disposition.RETRY,
        Disposition.DEAD,
    ),
}

classes = st.sampled_from(FailureClass)
answers = st.sampled_from([True, False, None])


@pytest.mark.parametrize("code", CODES, ids=lambda code: error_class(code))
def test_every_code_has_its_class_and_its_name(code: int) -> None:
    assert (classify(code), error_class(code)) == CODES[code]


def test_a_code_nobody_foresaw_is_ambiguous() -> None:
    assert classify(7_777) is FailureClass.AMBIGUOUS
    assert error_class(7_777) == "code_7777"


@given(code=st.integers(-200, 200))
def test_a_name_fits_into_its_column(code: int) -> None:
    assert 0 < len(error_class(code)) <= 64
    assert error_class(code) == error_class(code).lower().strip("_")


@pytest.mark.parametrize("failure", FailureClass)
def test_every_class_has_its_disposition(failure: FailureClass) -> None:
    found = tuple(
        decide(failure, attempts=attempts, max_attempts=3, broker_answered=answered)
        for answered in (False, True)
        for attempts in (0, 2)
    )
    assert found == DISPOSITIONS[failure]


def test_without_a_probe_that_has_ended_nobody_is_blamed() -> None:
    found = decide(FailureClass.AMBIGUOUS, attempts=99, max_attempts=3, broker_answered=None)
    assert found is Disposition.NEUTRAL


def test_a_bad_batch_condemns_none_of_its_events() -> None:
    found = decide(FailureClass.POISON, attempts=0, max_attempts=3, broker_answered=True, alone=False)
    assert found is Disposition.ISOLATE


@given(failure=classes, attempts=st.integers(0, 1_000), max_attempts=st.integers(1, 100), answered=answers)
def test_nothing_is_tried_beyond_the_allowed_attempts(
    failure: FailureClass, attempts: int, max_attempts: int, answered: bool | None
) -> None:
    found = decide(failure, attempts=attempts, max_attempts=max_attempts, broker_answered=answered)
    if found is Disposition.RETRY:
        assert attempts + 1 < max_attempts
    if found is Disposition.DEAD and failure is not FailureClass.POISON:
        assert attempts + 1 >= max_attempts


@given(failure=classes, attempts=st.integers(0, 1_000), max_attempts=st.integers(1, 100))
def test_a_silent_broker_condemns_only_for_an_answer_of_its_own(
    failure: FailureClass, attempts: int, max_attempts: int
) -> None:
    for answered in (False, None):
        found = decide(failure, attempts=attempts, max_attempts=max_attempts, broker_answered=answered)
        if found is Disposition.DEAD:
            assert failure in (FailureClass.POISON, FailureClass.TOPIC)
