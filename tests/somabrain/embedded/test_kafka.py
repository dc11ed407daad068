from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from somabrain.embedded import kafka
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.kafka import ACLS, KafkaBroker
from tests.support.need import need
from tests.support.waiting import wait_until

StartKafka = Callable[..., KafkaBroker]


def produce(broker: KafkaBroker, value: bytes, *, topic: str = "news") -> int:
    """The offset at which the broker has stored the message, in partition 0."""
    offsets: list[int | None] = []
    failures: list[KafkaError] = []

    def report(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failures.append(error)
        else:
            offsets.append(message.offset())

    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "acks": "all", "log_level": 0})
    producer.produce(topic, value, partition=0, on_delivery=report)
    producer.flush(60)
    assert not failures
    assert offsets[0] is not None
    return offsets[0]


def ask_for(broker: KafkaBroker, topic: str) -> tuple[int, int | None]:
    """How many partitions a topic has, and the error code if it cannot be used."""
    client = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    found = client.list_topics(topic, timeout=60).topics[topic]
    return len(found.partitions), found.error and found.error.code()


def cluster_id(broker: KafkaBroker) -> object:
    return Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0}).list_topics(timeout=60).cluster_id


def read(broker: KafkaBroker, offset: int) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "test", "log_level": 0})
    try:
        consumer.assign([TopicPartition("news", 0, offset)])
        message = consumer.poll(60)
        assert message is not None
        return message.value()
    finally:
        consumer.close()


def test_what_was_acknowledged_outlives_a_kill(start_kafka: StartKafka) -> None:
    broker = start_kafka()
    address = broker.bootstrap_servers
    offset = produce(broker, b"kept")
    broker.kill()
    broker.start()
    assert broker.bootstrap_servers == address
    assert read(broker, offset) == b"kept"
    assert produce(broker, b"more") == offset + 1


def test_each_broker_has_a_cluster_of_its_own_also_where_java_cannot_use_what_is_prepared(
    real_kafka: KafkaBroker, start_kafka: StartKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(kafka.prepared(), tmp_path / kafka.VERSION)
    (tmp_path / kafka.VERSION / "classes.jsa").write_bytes(b"of another Java")
    monkeypatch.setattr(kafka, "_HOME", tmp_path)
    other = start_kafka()
    assert cluster_id(real_kafka) != cluster_id(other)


@pytest.mark.kafka
def test_what_brokers_share_is_prepared_once_however_many_start_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(kafka.libraries)
    (tmp_path / f"{kafka.VERSION}.new" / "data").mkdir(parents=True)
    monkeypatch.setattr(kafka, "_HOME", tmp_path)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: kafka.prepared(), range(2)))
    assert set(found) == {tmp_path / kafka.VERSION}
    assert [each.name for each in tmp_path.iterdir() if each.is_dir()] == [kafka.VERSION]
    assert {"formatted", "classes.jsa"} <= {each.name for each in found[0].iterdir()}


def test_topics_are_made_when_they_are_needed_with_four_partitions(real_kafka: KafkaBroker) -> None:
    topic = f"made-{uuid.uuid4().hex}"
    produce(real_kafka, b"x", topic=topic)
    assert ask_for(real_kafka, topic) == (4, None)


def test_two_brokers_run_side_by_side_one_of_them_without_making_topics(
    real_kafka: KafkaBroker, start_kafka: StartKafka
) -> None:
    strict = start_kafka(auto_create_topics=False)
    assert strict.bootstrap_servers != real_kafka.bootstrap_servers
    assert ask_for(strict, "nowhere") == (0, KafkaError.UNKNOWN_TOPIC_OR_PART)


def test_a_port_that_is_taken_is_not_shared(real_kafka: KafkaBroker, start_kafka: StartKafka) -> None:
    with pytest.raises(EmbeddedServerError, match=f"port {real_kafka.port}: something else listens there"):
        start_kafka(port=real_kafka.port)


def test_a_broker_that_cannot_start_says_why(start_kafka: StartKafka) -> None:
    with pytest.raises(EmbeddedServerError, match="Unable to parse a listener name"):
        start_kafka(settings={"listeners": "nonsense"})


def test_a_topic_is_refused_until_it_is_allowed(start_kafka: StartKafka) -> None:
    broker = start_kafka(settings=ACLS)

    def outcome() -> int:
        codes: list[int] = []
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        producer.produce("closed", b"x", on_delivery=lambda error, _: codes.append(error.code() if error else 0))
        producer.flush(60)
        return codes[0]

    for _ in range(2):
        broker.refuse("closed")
        wait_until(lambda: outcome() == KafkaError.TOPIC_AUTHORIZATION_FAILED)
        broker.allow("closed")
        wait_until(lambda: outcome() == 0)
    assert produce(broker, b"x") == 0, "other topics stay open"
