"""A broker that refuses or delays some of what it is sent: keys keep their order, nothing is lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from outbox.models import OutboxAttempt
from tests.conftest import StartManage
from tests.proofs.sizes import size
from tests.proofs.stage import Stage
from tests.proofs.verdicts import judge, least, none
from tests.support.mock_cluster import MockCluster

FAILING = 0.05
TENANTS = {"acme": size(10_000, 100_000), "beta": size(10_000, 100_000)}
KEYS = 100
PARTITIONS = 16
SETTINGS = {
    "OUTBOX_BACKOFF_BASE_SECONDS": "0.05",
    "OUTBOX_BACKOFF_MAX_SECONDS": "0.5",
    "OUTBOX_BATCH_SIZE": "500",
    "OUTBOX_MAX_ATTEMPTS": "1000",
    "CIRCUITS_RESET_INTERVAL": "1",
    "CIRCUITS_MAX_RESET_INTERVAL": "1",
    # The broker in memory does not compare sequence numbers. So a batch that was in flight behind a refused one
    # is stored, and librdkafka, which knows that a real broker would not, takes the refused one for stored, too.
    "KAFKA_MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION": "1",
}


@pytest.fixture
def stage(
    mock_cluster: MockCluster, start_manage: StartManage, service_environment: dict[str, str], tmp_path: Path
) -> Stage:
    environment = {**service_environment, "KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers}
    stage = Stage(environment=environment, start_manage=start_manage, directory=tmp_path / "writers")
    mock_cluster.create_topic(stage.topic, partitions=PARTITIONS)
    return stage


@contextmanager
def _again_and_again(disturb: Callable[[], None], *, every: float) -> Iterator[None]:
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every):
            disturb()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _some_fail(cluster: MockCluster, codes: list[int]) -> Callable[[], None]:
    chance = random.Random(14)  # noqa: S311  the same failures in every run

    def disturb() -> None:
        cluster.forgive_requests()
        cluster.fail_requests(*[chance.choice(codes) if chance.random() < FAILING else 0 for _ in range(500)])

    return disturb


def _publish_all(stage: Stage, disturb: Callable[[], None], *, every: float) -> None:
    stage.start_relays(8, **SETTINGS)
    stage.seed(TENANTS, keys=KEYS, payload_bytes=50)
    with _again_and_again(disturb, every=every):
        stage.wait_until_all_sent()
    stage.stop_relays()


@pytest.mark.timeout(600)
def test_f14_failures_that_pass_keep_the_order(stage: Stage, mock_cluster: MockCluster) -> None:
    """What librdkafka tries again by itself."""
    codes = [KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.REQUEST_TIMED_OUT]
    _publish_all(stage, _some_fail(mock_cluster, codes), every=0.2)
    verdict = stage.judge()
    assert not verdict.faults
    judge(
        none("F14", "inversions, 5% of the requests fail", len(verdict.inversions)),
        none("F14", "duplicates, 5% of the requests fail", len(verdict.duplicates)),
    )


@pytest.mark.timeout(600)
def test_f14_time_outs_keep_the_order(stage: Stage, mock_cluster: MockCluster) -> None:
    """Answers that come too late for the relay, which gives up and sends again: repetitions, but in order. Questions
    for metadata are answered meanwhile, so attempts are burned, and keys wait in the database.
    """
    mock_cluster.delay_requests(*[3_000 if number % 200 == 5 else 0 for number in range(size(600, 6_000))])
    impatient = {"OUTBOX_DELIVERY_TIMEOUT_SECONDS": "1", "OUTBOX_MESSAGE_TIMEOUT_SECONDS": "1.5"}
    stage.start_relays(8, **SETTINGS, **impatient)
    stage.seed(TENANTS, keys=KEYS, payload_bytes=50)
    stage.wait_until_all_sent(timeout=size(120, 500))
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    judge(
        none("F14", "inversions, some answers come too late", len(verdict.inversions)),
        least("F14", "events sent again after a time-out", len(verdict.duplicates), 1, small=1),
        least("F14", "attempts burned by time-outs", OutboxAttempt.objects.count(), 1, small=1),
    )
