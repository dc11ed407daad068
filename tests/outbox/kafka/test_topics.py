import threading
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from outbox.kafka import metadata, topic_book
from outbox.kafka.metadata import MetadataClient
from outbox.kafka.topics import TopicDirectory, TopicState
from somabrain.embedded.kafka import KafkaBroker
from tests.outbox.kafka.conftest import HANG_SECONDS, Watched, native_threads, wait_until
from tests.support.mock_cluster import METADATA, MockCluster

Watch = Callable[[str], Watched]
NOWHERE = "127.0.0.1:9"


def test_a_topic_that_exists_is_ok(mock_cluster: MockCluster, watch: Watch) -> None:
    directory = watch(mock_cluster.bootstrap_servers)
    assert directory.state("news") is TopicState.CHECKING
    assert directory.settle("news") is TopicState.OK
    assert directory.ok == {"news"}
    assert directory.alive
    assert directory.last_answer is not None


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, TopicState.MISSING),
        (KafkaError.TOPIC_EXCEPTION, TopicState.MISSING),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, TopicState.FORBIDDEN),
    ],
)
def test_a_topic_that_cannot_be_written_to_is_refused(
    mock_cluster: MockCluster, watch: Watch, code: int, state: TopicState
) -> None:
    mock_cluster.fail_topic("news", code)
    directory = watch(mock_cluster.bootstrap_servers)
    assert directory.settle("news") is state
    assert not directory.ok


def test_one_bad_topic_does_not_hold_up_the_others(mock_cluster: MockCluster, watch: Watch) -> None:
    mock_cluster.fail_topic("missing", KafkaError.UNKNOWN_TOPIC_OR_PART)
    mock_cluster.fail_topic("leaderless", KafkaError.LEADER_NOT_AVAILABLE)
    directory = watch(mock_cluster.bootstrap_servers)
    directory.state("missing")
    directory.state("leaderless")
    assert directory.settle("news") is TopicState.OK
    assert directory.settle("missing") is TopicState.MISSING
    assert directory.state("leaderless") is TopicState.CHECKING


def test_a_topic_that_comes_to_exist_is_noticed(mock_cluster: MockCluster, watch: Watch) -> None:
    mock_cluster.fail_topic("news", KafkaError.UNKNOWN_TOPIC_OR_PART)
    directory = watch(mock_cluster.bootstrap_servers)
    assert directory.settle("news") is TopicState.MISSING
    mock_cluster.fail_topic("news", 0)
    directory.wait(lambda: directory.state("news") is TopicState.OK)


def test_a_topic_that_failed_is_asked_for_again(mock_cluster: MockCluster, watch: Watch) -> None:
    directory = watch(mock_cluster.bootstrap_servers)
    assert directory.settle("news") is TopicState.OK
    mock_cluster.fail_topic("news", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert directory.state("news") is TopicState.OK
    directory.forget("news")
    assert directory.state("news") is TopicState.CHECKING
    assert directory.settle("news") is TopicState.FORBIDDEN


def test_a_good_answer_is_asked_for_again_when_it_is_old(
    mock_cluster: MockCluster, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_book, "OK_SECONDS", 0.05)
    directory = watch(mock_cluster.bootstrap_servers)
    directory.settle("news")
    mock_cluster.fail_topic("news", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    directory.wait(lambda: directory.state("news") is TopicState.FORBIDDEN)


def test_while_the_broker_is_silent_a_topic_is_neither_good_nor_bad(mock_cluster: MockCluster, watch: Watch) -> None:
    mock_cluster.broker_down()
    directory = watch(mock_cluster.bootstrap_servers)
    directory.state("news")
    directory.wait(lambda: directory.alive is False)
    assert directory.state("news") is TopicState.CHECKING
    assert directory.last_answer is None
    mock_cluster.broker_up()
    assert directory.settle("news") is TopicState.OK
    assert directory.alive


def test_after_a_failed_request_a_fresh_client_asks(mock_cluster: MockCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MetadataClient({"bootstrap.servers": mock_cluster.bootstrap_servers, "log_level": 0})
    assert patient_ask(client, monkeypatch) == 0
    # More than one, since the client asks for metadata of its own accord too.
    mock_cluster.fail_requests(*[KafkaError.CLUSTER_AUTHORIZATION_FAILED] * 20, api=METADATA)
    with pytest.raises(KafkaException):
        client.ask("news")
    assert client._client is None
    mock_cluster.forgive_requests(api=METADATA)
    assert patient_ask(client, monkeypatch) == 0
    client.close()


def patient_ask(client: MetadataClient, monkeypatch: pytest.MonkeyPatch) -> int:
    with monkeypatch.context() as patch:
        patch.setattr(metadata, "REQUEST_SECONDS", HANG_SECONDS)
        return client.ask("news")


def test_a_ping_is_answered(mock_cluster: MockCluster, watch: Watch) -> None:
    directory = watch(mock_cluster.bootstrap_servers)
    assert directory.alive is None
    directory.ping()
    directory.ping()
    directory.wait(lambda: directory.alive is True)
    first = directory.last_answer
    assert first is not None
    directory.ping()
    directory.wait(lambda: directory.last_answer != first)


def test_a_ping_finds_the_broker_gone(mock_cluster: MockCluster, watch: Watch) -> None:
    directory = watch(mock_cluster.bootstrap_servers)
    directory.settle("news")
    mock_cluster.broker_down()
    directory.ping()
    directory.wait(lambda: directory.alive is False)


def test_a_watched_broker_is_noticed_when_it_is_back(mock_cluster: MockCluster, watch: Watch) -> None:
    mock_cluster.broker_down()
    directory = watch(mock_cluster.bootstrap_servers)
    directory.watching = True
    assert directory.watching
    directory.wait(lambda: directory.alive is False)
    mock_cluster.broker_up()
    directory.wait(lambda: directory.alive is True)
    directory.watching = False


def test_a_probe_asks_for_a_topic_that_is_known(
    mock_cluster: MockCluster, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a broker starts, whoever asks for nothing in particular may be answered a second later."""
    asked: list[str | None] = []

    def probe(client: MetadataClient, *, topic: str | None) -> bool:
        asked.append(topic)
        return True

    monkeypatch.setattr(MetadataClient, "probe", probe)
    directory = watch(mock_cluster.bootstrap_servers)
    directory.ping()
    directory.wait(lambda: asked == [None])
    directory.settle("news")
    directory.ping()
    directory.wait(lambda: asked == [None, "news"])


@pytest.mark.parametrize("topic", [None, "news"])
def test_a_probe_is_answered_by_brokers_alone(mock_cluster: MockCluster, topic: str | None) -> None:
    client = MetadataClient({"bootstrap.servers": mock_cluster.bootstrap_servers})
    assert client.probe(topic=topic)
    mock_cluster.broker_down()
    assert not client.probe(topic=topic)


def test_a_probe_creates_nothing(real_kafka: KafkaBroker) -> None:
    """Whoever deletes a topic would find it again."""
    servers = real_kafka.bootstrap_servers
    assert MetadataClient({"bootstrap.servers": servers}).probe(topic="probed")
    assert "probed" not in AdminClient({"bootstrap.servers": servers}).list_topics(timeout=HANG_SECONDS).topics


def test_a_probe_that_cannot_be_made_says_why() -> None:
    config = {"bootstrap.servers": NOWHERE, "ssl.ca.location": "/nowhere.pem", "security.protocol": "ssl"}
    with pytest.raises(KafkaException, match=r"ssl\.ca\.location"):
        MetadataClient(config).probe()


def test_a_probe_that_fails_to_be_made_is_not_tried_at_once_for_ever(
    mock_cluster: MockCluster, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str | None] = []

    def probe(client: MetadataClient, *, topic: str | None) -> bool:
        tried.append(topic)
        raise KafkaException(KafkaError(KafkaError._INVALID_ARG))

    monkeypatch.setattr(MetadataClient, "probe", probe)
    directory = watch(mock_cluster.bootstrap_servers)
    directory.ping()
    directory.settle("news")
    directory.settle("more")
    assert len(tried) == 1


def test_a_new_state_wakes_the_relay(mock_cluster: MockCluster) -> None:
    woken = threading.Event()
    directory = TopicDirectory({"bootstrap.servers": mock_cluster.bootstrap_servers}, on_change=woken.set)
    directory.state("news")
    assert woken.wait(HANG_SECONDS)
    directory.close()


def test_an_error_in_the_callback_does_not_end_the_directory(
    mock_cluster: MockCluster, caplog: pytest.LogCaptureFixture
) -> None:
    def explode() -> None:
        raise ZeroDivisionError

    directory = TopicDirectory({"bootstrap.servers": mock_cluster.bootstrap_servers}, on_change=explode)
    directory.state("news")
    wait_until(lambda: "news" in directory.ok)
    directory.state("more")
    wait_until(lambda: "more" in directory.ok)
    assert "A look at the broker's metadata failed" in caplog.text
    directory.close()


def test_closing_ends_every_thread(mock_cluster: MockCluster) -> None:
    before = native_threads()
    directory = TopicDirectory({"bootstrap.servers": mock_cluster.bootstrap_servers})
    directory.state("news")
    wait_until(lambda: "news" in directory.ok)
    directory.close(HANG_SECONDS)
    wait_until(lambda: not native_threads() - before)


def test_closing_does_not_wait_for_a_silent_broker() -> None:
    directory = TopicDirectory({"bootstrap.servers": NOWHERE, "log_level": 0})
    directory.state("news")
    directory.close(HANG_SECONDS)
    assert not directory._thread.is_alive()


@pytest.mark.kafka
def test_a_real_broker_that_creates_topics_has_every_topic(real_kafka: KafkaBroker, watch: Watch) -> None:
    directory = watch(real_kafka.bootstrap_servers)
    topics = [f"directory-created-{n}" for n in range(3)]
    directory.wait(lambda: all([directory.state(topic) is TopicState.OK for topic in topics]))


@pytest.mark.kafka
def test_a_real_broker_that_creates_none_has_only_its_own(
    start_kafka: Callable[..., KafkaBroker], watch: Watch
) -> None:
    broker = start_kafka(auto_create_topics=False)
    directory = watch(broker.bootstrap_servers)
    assert directory.settle("news") is TopicState.MISSING
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.create_topics([NewTopic("news", 1, 1)])["news"].result(HANG_SECONDS)
    directory.wait(lambda: directory.state("news") is TopicState.OK)
