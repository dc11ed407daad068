"""`manage.py memory replay` as a real process, behind a real relay and before a real memory."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from circuits.process import process
from outbox.models import EventStatus, OutboxEvent
from somabrain.embedded.kafka import KafkaBroker
from somabrain.memory import HttpMemoryBackend, MemoryService
from somabrain.memory.names import TOPIC
from somabrain.memory.topic import GROUP
from somabrain.models import QueuedWrite
from tests.conftest import StartManage
from tests.support.memory_server import MemoryServer, serving
from tests.support.mock_cluster import MockCluster
from tests.support.processes import ManageProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., ManageProcess]

# Who follows a consumer that was killed waits less. Brokers take no less than 6 s; at the mock one a session has to
# outlast a rebalance of 3 s.
SOON_MISSED = {"KAFKA_SESSION_TIMEOUT_MS": "6000"}


@pytest.fixture
def memory() -> Iterator[MemoryServer]:
    process.close()
    with serving() as server:
        yield server
    process.close()


@pytest.fixture
def service(memory: MemoryServer) -> Iterator[MemoryService]:
    backend = HttpMemoryBackend(memory.url, timeout=30)
    yield MemoryService(backend, "acme")
    backend.close()


def run_on(bootstrap_servers: str, start_manage: StartManage, memory: MemoryServer) -> Start:
    def start(*arguments: str, **env: str) -> ManageProcess:
        return start_manage(
            *arguments, env={"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers, "MEMORY_URL": memory.url, **env}
        )

    return start


@pytest.fixture
def start(mock_cluster: MockCluster, start_manage: StartManage, memory: MemoryServer) -> Start:
    return run_on(mock_cluster.bootstrap_servers, start_manage, memory)


def end(started: ManageProcess) -> dict[str, int]:
    """What it says that it did."""
    assert started.wait(timeout=180) == 0, started.output()
    (line,) = [line for line in started.output().splitlines() if line.startswith("{")]
    found: dict[str, int] = json.loads(line)
    return found


def queue_writes(service: MemoryService, memory: MemoryServer, count: int, *, keys: int) -> dict[str, int]:
    """The newest payload of each key."""
    memory.status = 503
    newest = {}
    for number in range(count):
        key = f"tea-{number % keys}"
        assert service.remember(key, number).queued
        newest[key] = number
    memory.status = 200
    MemoryService.reset_circuit_for_tenant(service.tenant_id)
    return newest


def kept(memory: MemoryServer) -> dict[str, Any]:
    return {key: payload for (_, _, key), (_, payload) in memory.kept.items()}


def publish(start: Start) -> None:
    relay = start("outbox", "relay", "--until-empty")
    assert relay.wait(timeout=180) == 0, relay.output()


def committed(bootstrap_servers: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": GROUP})
    try:
        partitions = consumer.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions
        found = consumer.committed([TopicPartition(TOPIC, number) for number in partitions], timeout=30)
        return sum(max(0, each.offset) for each in found)
    finally:
        consumer.close()


def test_what_failed_is_applied_and_the_newest_stays(
    start: Start, service: MemoryService, memory: MemoryServer, mock_cluster: MockCluster
) -> None:
    newest = queue_writes(service, memory, 60, keys=20)
    publish(start)
    consumer = start("memory", "replay")
    wait_until(lambda: committed(mock_cluster.bootstrap_servers) == 60, timeout=120, explain=consumer.output)
    assert kept(memory) == newest
    assert not QueuedWrite.objects.exists()
    consumer.send(signal.SIGTERM)
    assert end(consumer)["applied"] == 60
    assert not service.remember("tea-0", "now").queued
    assert memory.payload("tea-0") == "now"


def test_a_consumer_that_is_killed_loses_nothing(start: Start, service: MemoryService, memory: MemoryServer) -> None:
    newest = queue_writes(service, memory, 90, keys=30)
    publish(start)
    memory.seconds = 0.03
    asked = len(memory.asked)
    for applied in (10, 40):
        consumer = start("memory", "replay", **SOON_MISSED)
        wait_until(lambda: len(memory.asked) >= asked + applied, timeout=120, explain=consumer.output)  # noqa: B023
        consumer.send(signal.SIGKILL)
        consumer.wait(timeout=60)
    memory.seconds = 0
    service.remember("tea-0", "newer")
    publish(start)
    end(start("memory", "replay", "--until-empty", "--patience=120", **SOON_MISSED))
    assert kept(memory) == {**newest, "tea-0": "newer"}
    assert not QueuedWrite.objects.exists()


def test_a_consumer_goes_on_by_itself_when_the_memory_is_back(
    start: Start, service: MemoryService, memory: MemoryServer
) -> None:
    queue_writes(service, memory, 10, keys=10)
    publish(start)
    MemoryService.configure_tenant_thresholds("acme", failure_threshold=2, reset_interval=1)
    memory.status = 503
    asked = len(memory.asked)
    consumer = start("memory", "replay")
    wait_until(lambda: len(memory.asked) >= asked + 2, timeout=120, explain=consumer.output)
    assert QueuedWrite.objects.count() == 10
    memory.status = 200
    wait_until(lambda: not QueuedWrite.objects.exists(), timeout=120, explain=consumer.output)
    consumer.send(signal.SIGTERM)
    assert end(consumer)["applied"] == 10


def test_nothing_to_do_ends_with_0(start: Start) -> None:
    assert end(start("memory", "replay", "--until-empty")) == {"applied": 0, "rejected": 0, "skipped": 0}


def test_what_no_relay_has_published_ends_with_1_after_a_while(
    start: Start, service: MemoryService, memory: MemoryServer
) -> None:
    queue_writes(service, memory, 1, keys=1)
    consumer = start("memory", "replay", "--until-empty", "--patience=1")
    assert consumer.wait(timeout=120) == 1
    assert "is a relay running" in consumer.output()
    assert "Traceback" not in consumer.output()


def test_a_topic_that_may_not_be_read_ends_it_with_a_message(start: Start, mock_cluster: MockCluster) -> None:
    mock_cluster.fail_topic(TOPIC, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    consumer = start("memory", "replay")
    assert consumer.wait(timeout=120) == 1
    assert "Kafka: " in consumer.output()
    assert "Traceback" not in consumer.output()


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (["replay"], {"MEMORY_URL": ""}, "MEMORY_URL='': must name the memory"),
        (["replay"], {"MEMORY_URL": "memory"}, "(memory.E001) MEMORY_URL='memory'"),
        (["replay", "--threads=0"], {}, "argument --threads: '0' is no positive whole number"),
    ],
)
def test_what_cannot_work_is_said_without_a_traceback(
    start: Start, arguments: list[str], environment: dict[str, str], complaint: str
) -> None:
    consumer = start("memory", *arguments, **environment)
    assert consumer.wait(timeout=120) in (1, 2)
    assert complaint in consumer.output()
    assert "Traceback" not in consumer.output()


def test_on_a_real_broker_two_consumers_share_the_work_and_one_is_killed(
    real_kafka: KafkaBroker, start_manage: StartManage, service: MemoryService, memory: MemoryServer
) -> None:
    start = run_on(real_kafka.bootstrap_servers, start_manage, memory)
    newest = queue_writes(service, memory, 120, keys=40)
    publish(start)
    assert OutboxEvent.objects.filter(status=EventStatus.SENT).count() == 120
    memory.seconds = 0.02
    asked = len(memory.asked)
    consumers = [start("memory", "replay", "--until-empty", "--patience=120") for _ in range(2)]
    wait_until(lambda: len(memory.asked) >= asked + 20, timeout=120, explain=consumers[0].output)
    consumers[0].send(signal.SIGKILL)
    memory.seconds = 0
    end(consumers[1])
    assert kept(memory) == newest
    assert not QueuedWrite.objects.exists()
