"""`manage.py outbox relay` as a process."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from confluent_kafka import KafkaError
from django.core.management import CommandError, call_command
from django.db import OperationalError

from outbox.management.stop_signals import StopSignals
from outbox.management.subcommands import relay
from outbox.models import EventStatus, OutboxEvent, OutboxLane, OutboxRelay, TenantPolicy
from outbox.relay.supervisor import RelayThread, Supervisor
from tests.conftest import StartManage
from tests.support.load import TOPIC, all_sent, commit, sent, steady
from tests.support.mock_cluster import MockCluster
from tests.support.processes import ManageProcess
from tests.support.sessions import sessions, wait_until_somebody_waits_for_a_lock
from tests.support.topics import event_ids
from tests.support.waiting import wait_until

HANG_GUARD_SECONDS = 60

StartRelay = Callable[..., ManageProcess]


@pytest.fixture
def start_relay(start_manage: StartManage, mock_cluster: MockCluster) -> StartRelay:
    def start(*arguments: str, **env: str) -> ManageProcess:
        broker = {"KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers}
        return start_manage("outbox", "relay", *arguments, env={**broker, **env})

    return start


def wait(process: ManageProcess) -> int:
    return process.wait(timeout=HANG_GUARD_SECONDS)


def summary(process: ManageProcess) -> dict[str, Any]:
    """The one line of JSON that it prints."""
    (line,) = [line for line in process.output().splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(line)
    return found


def complaint(process: ManageProcess) -> str:
    """The one line that says why it failed."""
    (line,) = [line for line in process.output().splitlines() if line.startswith("CommandError")]
    assert "Traceback" not in process.output()
    return line


def assert_nothing_is_left_behind() -> None:
    assert not OutboxLane.objects.filter(owner__isnull=False).exists()
    assert not OutboxRelay.objects.exists()


# until it is told to stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_drains_and_ends_with_0(
    number: int, start_relay: StartRelay, mock_cluster: MockCluster
) -> None:
    process = start_relay()
    with steady():
        wait_until(sent)
        process.send(number)
        assert wait(process) == 0

    assert_nothing_is_left_behind()
    on_topic = event_ids(mock_cluster.bootstrap_servers, TOPIC)
    assert len(on_topic) == len(set(on_topic)) == summary(process)["published"]
    assert set(on_topic) == sent()


def test_a_second_signal_ends_a_drain_at_once(start_relay: StartRelay) -> None:
    process = start_relay()
    commit(30)
    wait_until(all_sent)
    with sessions(1) as (other,):
        other.begin()
        other.execute("LOCK TABLE outbox_lanes, outbox_relays")
        process.send(signal.SIGINT)
        wait_until_somebody_waits_for_a_lock()
        assert process.returncode is None
        # Two of one number, of which none was looked at yet, would be one.
        process.send(signal.SIGTERM)
        assert wait(process) == -signal.SIGTERM
        other.roll_back()


# until nothing is left


def test_until_empty_publishes_all_that_is_due(start_relay: StartRelay, mock_cluster: MockCluster) -> None:
    commit(3_000)
    process = start_relay("--until-empty")
    assert wait(process) == 0
    assert all_sent()
    assert len(event_ids(mock_cluster.bootstrap_servers, TOPIC)) == 3_000
    assert_nothing_is_left_behind()


def test_until_empty_says_what_it_did(start_relay: StartRelay) -> None:
    commit(30)
    process = start_relay("--until-empty")
    wait(process)
    said = summary(process)
    assert (said["published"], said["failed_attempts"], said["dead_letters"]) == (30, 0, 0)
    assert said["rate"] == pytest.approx(30 / said["seconds"], rel=0.1)


def test_until_empty_with_nothing_to_do_ends_with_0(start_relay: StartRelay) -> None:
    process = start_relay("--until-empty")
    assert wait(process) == 0
    assert summary(process)["published"] == 0


def test_until_empty_does_not_wait_for_events_that_are_not_due(start_relay: StartRelay) -> None:
    commit(30)
    OutboxEvent.objects.update(status=EventStatus.SCHEDULED, available_at="2999-01-01T00:00:00Z")
    assert wait(start_relay("--until-empty")) == 0


def test_until_empty_ends_with_1_beside_a_paused_tenant(start_relay: StartRelay) -> None:
    commit(30)
    TenantPolicy.objects.create(tenant_id="tenant-1", paused=True)
    process = start_relay("--until-empty", "--patience=1000")
    assert wait(process) == 1
    assert summary(process)["published"] == 20
    assert "'tenant-1'" in complaint(process)


def test_until_empty_ends_with_1_while_everyone_is_paused(start_relay: StartRelay) -> None:
    commit(30)
    TenantPolicy.objects.create(tenant_id="*", paused=True)
    process = start_relay("--until-empty", "--patience=1000")
    assert wait(process) == 1
    assert summary(process)["published"] == 0
    assert "paused" in complaint(process)


def test_until_empty_ends_with_1_after_dead_letters(start_relay: StartRelay, mock_cluster: MockCluster) -> None:
    mock_cluster.fail_requests(*[KafkaError.MSG_SIZE_TOO_LARGE] * 10)
    commit(1)
    process = start_relay("--until-empty", OUTBOX_MAX_ATTEMPTS="1")
    assert wait(process) == 1
    assert summary(process)["dead_letters"] == 1
    assert "1 events became dead letters" in complaint(process)


def test_until_empty_ends_with_1_while_events_wait_for_another_attempt(
    start_relay: StartRelay, mock_cluster: MockCluster
) -> None:
    mock_cluster.fail_requests(*[KafkaError.POLICY_VIOLATION] * 10)
    commit(1)
    # Any time up to this one: of a short one the event may be due again before it is looked for.
    process = start_relay("--until-empty", OUTBOX_BACKOFF_BASE_SECONDS="1e9", OUTBOX_BACKOFF_MAX_SECONDS="1e9")
    assert wait(process) == 1
    assert summary(process)["failed_attempts"] >= 1
    assert "next attempt" in complaint(process)


def test_until_empty_without_a_database_gives_up_with_one_line(start_relay: StartRelay) -> None:
    process = start_relay("--until-empty", "--patience=0.5", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert wait(process) == 1
    assert "127.0.0.1" in complaint(process)


def test_until_empty_without_a_broker_gives_up_with_one_line(start_relay: StartRelay) -> None:
    commit(1)
    process = start_relay("--until-empty", "--patience=2", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert wait(process) == 1
    assert "nothing moved for 2 s" in complaint(process)
    assert OutboxEvent.objects.get().attempts == 0


def test_a_signal_ends_a_relay_without_a_database(start_relay: StartRelay) -> None:
    process = start_relay(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    process.wait_for_output("A relay failed")
    process.send(signal.SIGTERM)
    assert wait(process) == 0


def test_a_verb_is_asked_for() -> None:
    with pytest.raises(CommandError, match="verb"):
        call_command("outbox")


# what goes wrong on the way


class Told(RelayThread):
    """A thread that signals its process at once, and again when it was told to stop; it ends when it is let."""

    def __init__(self, *, twice: bool = False) -> None:
        super().__init__(Supervisor())
        self.let = threading.Event()
        self._twice = twice

    def run(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assert self.supervisor.stopped.wait(HANG_GUARD_SECONDS)
        if self._twice:
            os.kill(os.getpid(), signal.SIGTERM)
        assert self.let.wait(HANG_GUARD_SECONDS)


def test_a_drain_that_hangs_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "drain_seconds", lambda: 0.0)
    thread = Told()
    with pytest.raises(CommandError, match="did not drain in time"):
        relay._run(thread, patience=None)
    thread.let.set()
    thread.join()


def test_a_second_signal_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = Told(twice=True)
    monkeypatch.setattr(StopSignals, "obey", lambda signals: thread.let.set())
    assert not relay._run(thread, patience=None)
    assert thread.let.is_set()


def test_a_database_that_is_gone_at_the_end_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> NoReturn:
        raise OperationalError("server closed\nthe connection")

    monkeypatch.setattr(relay, "get_pending_events", fail)
    assert list(relay._left(Supervisor(), Supervisor().summary())) == ["server closed the connection"]


def test_what_committed_during_the_run_is_nobodys_fault(transactional_db: None) -> None:
    commit(1)
    assert not list(relay._waiting(timedelta(hours=1)))
    assert list(relay._waiting(timedelta(seconds=0)))
