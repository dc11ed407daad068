from confluent_kafka import KafkaError, Message, Producer

from tests.support.mock_cluster import MockCluster


def deliver(cluster: MockCluster, *, topic: str = "news", timeout_ms: int = 10_000) -> KafkaError | None:
    reports: list[KafkaError | None] = []

    def report(error: KafkaError | None, message: Message) -> None:
        reports.append(error)

    producer = Producer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "message.timeout.ms": timeout_ms,
            "reconnect.backoff.max.ms": 200,
            "log_level": 0,
        }
    )
    producer.produce(topic, b"x", on_delivery=report)
    producer.flush(30)
    return reports[0]


def test_a_message_arrives(mock_cluster: MockCluster) -> None:
    assert deliver(mock_cluster) is None


def test_a_request_fails_as_often_as_it_was_told_to(mock_cluster: MockCluster) -> None:
    mock_cluster.fail_requests(KafkaError.MSG_SIZE_TOO_LARGE)
    error = deliver(mock_cluster)
    assert error is not None
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert deliver(mock_cluster) is None


def test_forgiven_requests_succeed(mock_cluster: MockCluster) -> None:
    mock_cluster.fail_requests(KafkaError.MSG_SIZE_TOO_LARGE)
    mock_cluster.forgive_requests()
    assert deliver(mock_cluster) is None


def test_a_topic_fails_alone(mock_cluster: MockCluster) -> None:
    mock_cluster.fail_topic("secret", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    error = deliver(mock_cluster, topic="secret")
    assert error is not None
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert deliver(mock_cluster) is None


def test_a_broker_goes_and_comes_back(mock_cluster: MockCluster) -> None:
    assert deliver(mock_cluster) is None
    mock_cluster.broker_down()
    error = deliver(mock_cluster, timeout_ms=300)
    assert error is not None
    assert error.code() == KafkaError._MSG_TIMED_OUT
    mock_cluster.broker_up()
    assert deliver(mock_cluster) is None


def test_a_late_answer_is_no_answer(mock_cluster: MockCluster) -> None:
    assert deliver(mock_cluster) is None
    mock_cluster.round_trip(5_000)
    error = deliver(mock_cluster, timeout_ms=300)
    assert error is not None
    assert error.code() == KafkaError._MSG_TIMED_OUT


def test_one_late_answer_is_one_requests(mock_cluster: MockCluster) -> None:
    assert deliver(mock_cluster) is None
    mock_cluster.delay_requests(60_000)
    assert mock_cluster.pending_failures() == 1
    error = deliver(mock_cluster, timeout_ms=300)
    assert error is not None
    assert error.code() == KafkaError._MSG_TIMED_OUT
    assert mock_cluster.pending_failures() == 0
    assert deliver(mock_cluster) is None


def test_a_topic_stands_and_falls_with_the_broker_that_leads_it() -> None:
    with MockCluster(brokers=2) as cluster:
        cluster.lead("near", broker=1)
        cluster.lead("far", broker=2)
        cluster.broker_down(2)
        assert deliver(cluster, topic="near") is None
        error = deliver(cluster, topic="far", timeout_ms=300)
        assert error is not None
        assert error.code() == KafkaError._MSG_TIMED_OUT
