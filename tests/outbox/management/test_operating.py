"""Operators at work beside a relay that runs: real processes, and what arrives at the broker."""

from __future__ import annotations

import json
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from confluent_kafka import KafkaError

from outbox.api import enqueue
from outbox.kafka.message import ReceivedEvent
from outbox.models import EventStatus, OperatorAction, OutboxEvent, OutboxLane
from outbox.operations import bulk
from outbox.operations.discard import discard
from outbox.operations.filters import Filter
from outbox.operations.listing import database_now
from outbox.operations.pause import pause, resume
from outbox.operations.replay import replay
from outbox.operations.requeue import requeue
from tests.conftest import StartManage
from tests.outbox.operations.rows import ANN, event, failed
from tests.outbox.relay.conftest import consumed
from tests.support.load import TOPIC, commit, steady
from tests.support.mock_cluster import MockCluster
from tests.support.processes import ManageProcess
from tests.support.waiting import wait_until

HANG_GUARD_SECONDS = 60
# Nothing but being told makes a relay look again before a test would give up.
DEAF = {"OUTBOX_RENEW_SECONDS": "300", "OUTBOX_LEASE_SECONDS": "600"}
STRANDED_IS_LOOKED_FOR_AFTER = 30

Manage = Callable[..., ManageProcess]


@pytest.fixture
def manage(start_manage: StartManage, mock_cluster: MockCluster) -> Iterator[Manage]:
    """Start `manage.py outbox` with these arguments; settings as keywords."""

    def start(*arguments: str, **env: str) -> ManageProcess:
        broker = {"KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers}
        return start_manage("outbox", *arguments, env={**broker, **env})

    yield start


def is_sent(event_id: int) -> Callable[[], bool]:
    return lambda: OutboxEvent.objects.filter(pk=event_id, status=EventStatus.SENT).exists()


def statuses() -> dict[int, str]:
    return dict(OutboxEvent.objects.values_list("id", "status"))


def test_a_dead_letter_is_replayed_and_arrives_with_the_header(manage: Manage, mock_cluster: MockCluster) -> None:
    mock_cluster.fail_requests(*[KafkaError.MSG_SIZE_TOO_LARGE] * 10)
    event_id = enqueue(topic=TOPIC, payload={"n": 1}, partition_key="k", autocommit=True).event_id
    manage("relay", OUTBOX_MAX_ATTEMPTS="1")
    wait_until(OutboxEvent.objects.filter(status=EventStatus.FAILED).exists)
    mock_cluster.forgive_requests()

    replaying = manage("replay", "--tenant", "default", "--reason", "the limit is raised", "--yes", "--json")
    assert replaying.wait(timeout=HANG_GUARD_SECONDS) == 0, replaying.output()
    assert json.loads(replaying.output().splitlines()[-1])["replayed"] == 1
    wait_until(is_sent(event_id))
    (message,) = consumed(mock_cluster, topic=TOPIC)
    assert (message.event_id, message.replay, message.attempt) == (event_id, "1", 1)
    action = OperatorAction.objects.get()
    assert (action.verb, action.source, action.reason) == ("replay", "command", "the limit is raised")
    assert "@" in action.actor


def test_replay_beside_a_busy_relay_loses_repeats_and_reorders_nothing(
    manage: Manage, mock_cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In many small transactions, of events that lie between and behind those that are being sent."""
    monkeypatch.setattr(bulk, "BATCH", 40)
    commit(1_000)
    OutboxEvent.objects.filter(id__iregex="[02468]$").update(status=EventStatus.FAILED)
    dead = set(OutboxEvent.objects.filter(status=EventStatus.FAILED).values_list("id", flat=True))
    assert len(dead) == 500
    manage("relay")
    with steady(batch=10):
        wait_until(OutboxEvent.objects.filter(status=EventStatus.SENT).exists)
        done = replay(Filter(statuses=(EventStatus.FAILED,)), by=ANN, reason="the topic is there")
        assert done.changed == 500
        wait_until(lambda: all(statuses()[event_id] == "sent" for event_id in dead))
    wait_until(lambda: set(statuses().values()) == {"sent"})

    found = consumed(mock_cluster, topic=TOPIC)
    assert sorted(each.event_id for each in found) == sorted(statuses())
    assert {each.event_id for each in found if each.replay == "1"} == dead
    # A replayed event comes when it is replayed: in its place among the replayed ones, not among the others.
    assert_in_order([each for each in found if each.replay])
    assert_in_order([each for each in found if not each.replay])


def test_requeueing_beside_a_busy_relay_loses_repeats_and_reorders_nothing(
    manage: Manage, mock_cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after a retry of its key waits for it, so nothing overtakes anything."""
    monkeypatch.setattr(bulk, "BATCH", 40)
    commit(1_000)
    retries = OutboxEvent.objects.filter(id__iregex="[02468]$")
    retries.update(status=EventStatus.SCHEDULED, attempts=1, available_at=database_now() + timedelta(days=1))
    manage("relay")
    with steady(batch=10):
        wait_until(OutboxEvent.objects.filter(status=EventStatus.SENT).exists)
        assert requeue(Filter(), by=ANN, reason="the broker is back").changed == 500
        wait_until(lambda: "scheduled" not in statuses().values())
    wait_until(lambda: set(statuses().values()) == {"sent"})

    found = consumed(mock_cluster, topic=TOPIC)
    assert sorted(each.event_id for each in found) == sorted(statuses())
    assert_in_order(found)


def assert_in_order(found: list[ReceivedEvent]) -> None:
    by_key: dict[str, list[int]] = defaultdict(list)
    for each in found:
        by_key[each.key].append(each.event_id)
    assert by_key
    assert [key for key, ids in by_key.items() if ids != sorted(ids)] == []


def test_a_discarded_retry_frees_its_key_at_once(manage: Manage, mock_cluster: MockCluster) -> None:
    mock_cluster.create_topic(TOPIC)
    manage("relay", **DEAF)
    retry = event(status=EventStatus.SCHEDULED, attempts=3, partition_key="k", topic=TOPIC, created_at=database_now())
    waiting = [
        enqueue(topic=TOPIC, payload={}, tenant_id="acme", partition_key="k", autocommit=True).event_id
        for _ in range(3)
    ]
    other = enqueue(topic=TOPIC, payload={}, tenant_id="acme", partition_key="other", autocommit=True).event_id
    wait_until(is_sent(other))
    assert [statuses()[event_id] for event_id in waiting] == ["pending"] * 3

    discard(Filter(ids=(retry.pk,)), by=ANN, reason="nobody wants it")
    wait_until(is_sent(waiting[-1]), timeout=STRANDED_IS_LOOKED_FOR_AFTER - 10)
    assert [each.event_id for each in consumed(mock_cluster, topic=TOPIC) if each.key == "acme:k"] == waiting


def test_a_holder_notices_a_replay_at_once(manage: Manage, mock_cluster: MockCluster) -> None:
    mock_cluster.create_topic(TOPIC)
    manage("relay", OUTBOX_TENURE_SECONDS="300", **DEAF)
    old = failed(topic=TOPIC, created_at=database_now() - timedelta(hours=1))
    wait_until(is_sent(enqueue(topic=TOPIC, payload={}, tenant_id="acme", autocommit=True).event_id))
    replay(Filter(ids=(old.pk,)), by=ANN, reason="the topic is there")
    wait_until(is_sent(old.pk), timeout=STRANDED_IS_LOOKED_FOR_AFTER - 10)


def test_a_replayed_event_goes_before_a_later_retry_of_its_key(manage: Manage, mock_cluster: MockCluster) -> None:
    mock_cluster.create_topic(TOPIC)
    old = failed(1, topic=TOPIC, partition_key="k")
    event(2, topic=TOPIC, partition_key="k", status=EventStatus.SCHEDULED, attempts=1)
    manage("relay", **DEAF)
    replay(Filter(ids=(old.pk,)), by=ANN, reason="the topic is there")
    wait_until(is_sent(old.pk), timeout=STRANDED_IS_LOOKED_FOR_AFTER - 10)


def test_a_pause_of_everyone_holds_all_back_and_resuming_lets_them_go(manage: Manage) -> None:
    manage("relay", **DEAF)
    first = enqueue(topic=TOPIC, payload={}, tenant_id="acme", autocommit=True).event_id
    wait_until(is_sent(first))
    pause(tenant_id=None, reason="Kafka is moved", by=ANN)
    wait_until(lambda: not lanes_held())
    second = enqueue(topic=TOPIC, payload={}, tenant_id="acme", autocommit=True).event_id
    assert statuses()[second] == "pending"
    resume(tenant_id=None, by=ANN)
    wait_until(is_sent(second), timeout=STRANDED_IS_LOOKED_FOR_AFTER - 10)


def lanes_held() -> bool:
    return OutboxLane.objects.filter(owner__isnull=False).exists()


def test_following_shows_what_is_sent_and_ends_with_0(manage: Manage) -> None:
    manage("relay")
    following = manage("tail", "--json", "--tenant", "acme")
    following.wait_for_output("Following")
    event_id = enqueue(topic=TOPIC, payload={}, tenant_id="acme", autocommit=True).event_id
    following.wait_for_output(f'"event_id": {event_id}')
    following.send(signal.SIGINT)
    assert following.wait(timeout=HANG_GUARD_SECONDS) == 0
    assert "Traceback" not in following.output()
