"""Every librdkafka code that matters here, provoked for real: what is seen, by whom, and what it is taken for."""

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from outbox.relay.failures import FailureClass, classify
from somabrain.embedded.kafka import KafkaBroker
from tests.outbox.kafka.conftest import HANG_SECONDS, MakeSender, Reports, wait_until
from tests.support.mock_cluster import INIT_PRODUCER_ID, MockCluster


@pytest.fixture
def reports(mock_cluster: MockCluster, make_sender: MakeSender) -> Reports:
    """A sender that has delivered to the topic before."""
    reports = make_sender(mock_cluster.bootstrap_servers, log_level=0)
    assert reports.deliver("before") == [0]
    return reports


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, FailureClass.POISON),
        (KafkaError.INVALID_RECORD, FailureClass.POISON),
        (KafkaError.POLICY_VIOLATION, FailureClass.TOPIC),
        (KafkaError.RECORD_LIST_TOO_LARGE, FailureClass.TOPIC),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, FailureClass.BROKER),
        (KafkaError.NETWORK_EXCEPTION, FailureClass.BROKER),
        (KafkaError.INVALID_PRODUCER_EPOCH, FailureClass.TRANSIENT),
        (KafkaError.PRODUCER_FENCED, FailureClass.PROCESS),
        (KafkaError.THROTTLING_QUOTA_EXCEEDED, FailureClass.AMBIGUOUS),
    ],
)
def test_reported_by_the_message_and_the_producer_goes_on(
    mock_cluster: MockCluster, reports: Reports, code: int, failure: FailureClass
) -> None:
    mock_cluster.fail_requests(code)
    assert reports.deliver("x") == [code]
    assert classify(code) is failure
    assert reports.deliver("after") == [0]


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.DUPLICATE_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError._TRANSPORT,
    ],
)
def test_repaired_by_librdkafka_when_it_passes(mock_cluster: MockCluster, reports: Reports, code: int) -> None:
    mock_cluster.fail_requests(code)
    assert reports.deliver("x") == [0]


def test_a_forbidden_topic_fails_by_report_and_then_in_produce(mock_cluster: MockCluster, reports: Reports) -> None:
    mock_cluster.fail_requests(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert reports.deliver("first") == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
    assert reports.deliver("second") == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
    assert reports.raised == ["second"]
    assert classify(KafkaError.TOPIC_AUTHORIZATION_FAILED) is FailureClass.TOPIC
    assert reports.deliver("other", topic="other") == [0]


def test_an_unknown_topic_fails_by_report_and_then_in_produce(mock_cluster: MockCluster, reports: Reports) -> None:
    mock_cluster.fail_topic("missing", KafkaError.UNKNOWN_TOPIC_OR_PART)
    assert reports.deliver("first", topic="missing") == [KafkaError.UNKNOWN_TOPIC_OR_PART]
    assert reports.deliver("second", topic="missing") == [KafkaError._UNKNOWN_TOPIC]
    assert reports.raised == ["second"]
    assert classify(KafkaError._UNKNOWN_TOPIC) is FailureClass.TOPIC
    assert reports.deliver("other", topic="other") == [0]


def test_a_message_above_the_clients_limit_is_refused_by_produce(reports: Reports) -> None:
    large = "x" * 2_000_000
    assert reports.deliver(large) == [KafkaError.MSG_SIZE_TOO_LARGE]
    assert reports.raised == [large]
    assert reports.deliver("after") == [0]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"topic": "news", "value": b"x", "key": "\ud800"}, ValueError),
        ({"topic": "ne\0ws", "value": b"x"}, ValueError),
        ({"topic": "news", "value": b"x", "headers": {"a": 1}}, TypeError),
    ],
    ids=["surrogate", "nul", "number"],
)
def test_what_cannot_be_serialised_is_refused_by_produce(
    reports: Reports, message: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        reports.sender.produce(**message)
    assert reports.deliver("after") == [0]


def test_a_full_queue_is_a_buffer_error(mock_cluster: MockCluster, make_sender: MakeSender) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers, queue_buffering_max_messages=2)
    with pytest.raises(BufferError):
        reports.produce("1", "2", "3")
    assert reports.wait("1", "2") == [0, 0]
    assert reports.deliver("3") == [0]


def test_a_broken_sequence_ends_the_producer(mock_cluster: MockCluster, reports: Reports) -> None:
    mock_cluster.fail_requests(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
    assert reports.deliver("x") == [KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER]
    assert reports.sender.fatal is not None
    assert reports.deliver("after") == [KafkaError._FATAL]
    assert reports.raised == ["after"]
    assert classify(KafkaError._FATAL) is FailureClass.PROCESS
    assert classify(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER) is FailureClass.PROCESS


@pytest.mark.parametrize("code", [KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.PRODUCER_FENCED])
def test_a_producer_without_the_right_to_an_id_ends(
    mock_cluster: MockCluster, make_sender: MakeSender, code: int
) -> None:
    mock_cluster.fail_requests(code, api=INIT_PRODUCER_ID)
    reports = make_sender(mock_cluster.bootstrap_servers, warm=False, log_level=0)
    reports.produce("x")
    while reports.sender.fatal is None:
        reports.sender.poll(0.05)
    assert classify(reports.sender.fatal.code()) in (FailureClass.BROKER, FailureClass.PROCESS)
    reports.sender.purge_and_close(HANG_SECONDS)
    assert classify(reports.codes["x"]) in (FailureClass.PROCESS, FailureClass.AMBIGUOUS)


def test_without_a_broker_a_message_expires_and_the_producer_is_suspicious(
    mock_cluster: MockCluster, make_sender: MakeSender
) -> None:
    reports = make_sender(mock_cluster.bootstrap_servers, message_timeout=0.5, log_level=0)
    mock_cluster.broker_down()
    assert reports.deliver("x") == [KafkaError._MSG_TIMED_OUT]
    while reports.sender.broker_suspect_since is None:
        reports.sender.poll(0.05)
    assert classify(KafkaError._MSG_TIMED_OUT) is FailureClass.AMBIGUOUS


@pytest.mark.kafka
def test_a_real_topics_limit_refuses_a_whole_batch_but_alone_only_the_large_one(
    real_kafka: KafkaBroker, make_sender: MakeSender, small_topic: str
) -> None:
    values = [f"{n}-{'x' * 300}" for n in range(20)]
    together = make_sender(real_kafka.bootstrap_servers, linger_ms=500)
    assert set(together.deliver(*values, topic=small_topic)) == {KafkaError.MSG_SIZE_TOO_LARGE}

    alone = make_sender(real_kafka.bootstrap_servers, isolate=True)
    large = "y" * 2_500
    codes = alone.deliver(*values, large, topic=small_topic)
    assert codes == [0] * len(values) + [KafkaError.MSG_SIZE_TOO_LARGE]


@pytest.fixture
def small_topic(real_kafka: KafkaBroker) -> str:
    """A topic that takes no batch above 2,000 bytes."""
    admin = AdminClient({"bootstrap.servers": real_kafka.bootstrap_servers})
    topic = NewTopic("small-batches", 1, 1, config={"max.message.bytes": "2000"})
    admin.create_topics([topic])["small-batches"].result(HANG_SECONDS)
    wait_until(lambda: "small-batches" in admin.list_topics(timeout=HANG_SECONDS).topics)
    return "small-batches"


@pytest.mark.parametrize(
    ("way", "code"),
    [
        ({}, KafkaError._TRANSPORT),
        ({"security_protocol": "ssl"}, KafkaError._TRANSPORT),
        (
            {
                "security_protocol": "sasl_plaintext",
                "sasl_mechanism": "PLAIN",
                "sasl_username": "me",
                "sasl_password": "hunter2",
            },
            KafkaError._AUTHENTICATION,
        ),
        ({"bootstrap_servers": "no-such-host.invalid:9092"}, KafkaError._RESOLVE),
    ],
    ids=["down", "not encrypted", "not authenticated", "no such name"],
)
def test_trouble_on_the_way_to_the_broker_is_heard_without_any_message(
    mock_cluster: MockCluster,
    make_sender: MakeSender,
    caplog: pytest.LogCaptureFixture,
    way: dict[str, str],
    code: int,
) -> None:
    if not way:
        mock_cluster.broker_down()
    sender = make_sender(mock_cluster.bootstrap_servers, warm=False, log_level=0, **way).sender
    while sender.broker_suspect_since is None:
        sender.poll(0.05)
    assert KafkaError(code).name() in sender._log._kinds
    assert "hunter2" not in caplog.text
    assert classify(code) is FailureClass.BROKER


def test_all_brokers_down_is_an_error_of_the_client(mock_cluster: MockCluster, reports: Reports) -> None:
    mock_cluster.broker_down()

    def is_heard() -> bool:
        reports.sender.poll(0.02)
        return "_ALL_BROKERS_DOWN" in reports.sender._log._kinds

    wait_until(is_heard)
    assert reports.sender.broker_suspect_since is not None
    assert classify(KafkaError._ALL_BROKERS_DOWN) is FailureClass.BROKER
