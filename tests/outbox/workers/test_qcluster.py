"""qcluster with relays in its workers, as real processes, signals and kills included."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import psutil
import pytest
from django_q.models import OrmQ
from django_q.tasks import async_task, result

from outbox.models import EventStatus, OutboxEvent, OutboxLane, OutboxRelay
from tests.conftest import StartManage
from tests.support.load import TOPIC, all_sent, commit, commit_backlog, sent, steady
from tests.support.mock_cluster import MockCluster
from tests.support.processes import ManageProcess
from tests.support.sessions import sessions
from tests.support.topics import event_ids
from tests.support.waiting import wait_until

HANG_GUARD_SECONDS = 60


@pytest.fixture
def environment(mock_cluster: MockCluster) -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers}


@pytest.fixture
def qcluster(start_manage: StartManage, environment: dict[str, str]) -> ManageProcess:
    """Two workers, each with a relay that has published something."""
    process = start_manage("qcluster", env=environment)
    wait_until(lambda: OutboxRelay.objects.count() == 2, explain=process.output)
    commit(30)
    wait_until(all_sent, explain=process.output)
    return process


def workers(process: ManageProcess) -> list[int]:
    """The process ids of all that were ever ready."""
    return [int(pid) for pid in re.findall(r"ready for work at (\d+)", process.output())]


def sentinel(process: ManageProcess) -> psutil.Process:
    (child,) = psutil.Process(process.pid).children()
    return child


def nobody_is_left(process: ManageProcess) -> bool:
    return not process.processes()


def assert_nothing_is_left_behind(process: ManageProcess) -> None:
    assert nobody_is_left(process)
    assert not OutboxLane.objects.filter(owner__isnull=False).exists()
    assert not OutboxRelay.objects.exists()


def test_every_worker_runs_a_relay(qcluster: ManageProcess) -> None:
    assert set(OutboxRelay.objects.values_list("pid", flat=True)) == set(workers(qcluster))


@pytest.mark.parametrize("to_group", [False, True], ids=["to main", "to the group"])
def test_sigterm_under_load_drains_and_ends_with_0(
    to_group: bool, qcluster: ManageProcess, mock_cluster: MockCluster
) -> None:
    before = len(sent())
    with steady():
        wait_until(lambda: len(sent()) > before)
        qcluster.send(signal.SIGTERM, to_group=to_group)
        assert qcluster.wait(timeout=HANG_GUARD_SECONDS) == 0

    assert_nothing_is_left_behind(qcluster)
    on_topic = event_ids(mock_cluster.bootstrap_servers, TOPIC)
    assert len(on_topic) == len(set(on_topic))
    assert set(on_topic) == sent()


def test_sigint_is_a_wish_to_stop_too(qcluster: ManageProcess) -> None:
    qcluster.send(signal.SIGINT, to_group=True)
    assert qcluster.wait(timeout=HANG_GUARD_SECONDS) == 0
    assert_nothing_is_left_behind(qcluster)


def test_run_once_stops_by_itself(start_manage: StartManage, environment: dict[str, str]) -> None:
    process = start_manage("qcluster", "--run-once", env=environment)
    assert process.wait(timeout=HANG_GUARD_SECONDS) == 0
    assert_nothing_is_left_behind(process)


def test_publishing_goes_on_after_workers_were_killed_and_a_second_signal_ends_a_stuck_queue(
    qcluster: ManageProcess, mock_cluster: MockCluster
) -> None:
    killed = workers(qcluster)
    for pid in killed:
        psutil.Process(pid).kill()
    commit(30)
    wait_until(all_sent)
    wait_until(lambda: not OutboxRelay.objects.filter(pid__in=killed).exists())
    assert len(set(event_ids(mock_cluster.bootstrap_servers, TOPIC))) == 60

    # One of them was reading the task queue, whose lock is held for ever now: nobody reads that it is to stop.
    qcluster.send(signal.SIGTERM)
    qcluster.wait_for_output("stopping cluster processes")
    qcluster.send(signal.SIGTERM)
    assert qcluster.wait(timeout=HANG_GUARD_SECONDS) == 1
    assert "second signal" in qcluster.output()
    assert_nothing_is_left_behind(qcluster)


def test_without_its_sentinel_a_cluster_drains_and_fails(qcluster: ManageProcess) -> None:
    sentinel(qcluster).kill()
    assert qcluster.wait(timeout=HANG_GUARD_SECONDS) == 1
    assert "ended by itself" in qcluster.output()
    assert_nothing_is_left_behind(qcluster)


def test_a_worker_ends_its_cluster_and_its_relays_drain(qcluster: ManageProcess, mock_cluster: MockCluster) -> None:
    with steady():
        async_task("tests.support.tasks.end_cluster")
        assert qcluster.wait(timeout=HANG_GUARD_SECONDS) == 1
    assert "its relays have drained. Start it again." in qcluster.output()
    assert_nothing_is_left_behind(qcluster)
    on_topic = event_ids(mock_cluster.bootstrap_servers, TOPIC)
    assert len(on_topic) == len(set(on_topic))
    assert set(on_topic) == sent()


def test_without_its_main_process_a_cluster_drains_and_ends(qcluster: ManageProcess) -> None:
    qcluster.send(signal.SIGKILL)
    wait_until(lambda: nobody_is_left(qcluster))
    assert_nothing_is_left_behind(qcluster)


def test_main_killed_while_it_stops_leaves_nobody_behind(qcluster: ManageProcess) -> None:
    with steady():
        async_task("time.sleep", 30)
        wait_until(lambda: "processing" in qcluster.output())
        qcluster.send(signal.SIGTERM)
        qcluster.wait_for_output("stopping cluster processes")
        qcluster.send(signal.SIGKILL)
        wait_until(lambda: nobody_is_left(qcluster), timeout=25)
    assert_nothing_is_left_behind(qcluster)


def test_ordinary_tasks_start_while_relays_are_busy(start_manage: StartManage, environment: dict[str, str]) -> None:
    # So that they remain busy: on a fast machine a backlog does not last.
    qcluster = start_manage("qcluster", env={**environment, "OUTBOX_BATCH_SIZE": "100"})
    wait_until(lambda: OutboxRelay.objects.count() == 2, explain=qcluster.output)
    commit_backlog(100_000)
    published = OutboxEvent.objects.filter(status=EventStatus.SENT)
    wait_until(lambda: published.count() > 30)
    assert result(async_task("time.time", save=True), wait=HANG_GUARD_SECONDS * 1000) is not None
    assert not all_sent()


def test_a_task_that_takes_too_long_costs_its_worker_and_no_duplicates(
    qcluster: ManageProcess, mock_cluster: MockCluster
) -> None:
    with steady():
        task = async_task("time.sleep", 60, timeout=1)
        assert "maximum timeout" in result(task, wait=HANG_GUARD_SECONDS * 1000)
        wait_until(lambda: len(workers(qcluster)) == 3)
    wait_until(all_sent)
    on_topic = event_ids(mock_cluster.bootstrap_servers, TOPIC)
    assert len(on_topic) == len(set(on_topic))


def test_a_task_within_a_task_brings_no_second_relay(qcluster: ManageProcess) -> None:
    task = async_task("tests.support.tasks.run_one_in_place", save=True)
    assert result(task, wait=HANG_GUARD_SECONDS * 1000) in workers(qcluster)
    commit(30)
    wait_until(all_sent)
    assert OutboxRelay.objects.count() == 2


@pytest.fixture
def locked_task_queue() -> Iterator[None]:
    with sessions(1) as (other,):
        other.begin()
        other.execute(f"LOCK TABLE {OrmQ._meta.db_table}")
        yield
        other.roll_back()


def test_publishing_goes_on_while_the_task_queue_is_stuck(qcluster: ManageProcess, locked_task_queue: None) -> None:
    commit(30)
    wait_until(all_sent)
    assert OutboxEvent.objects.filter(status=EventStatus.SENT).count() == 60


def test_a_host_runs_no_more_relays_than_it_may_and_replaces_a_killed_one(
    start_manage: StartManage, environment: dict[str, str]
) -> None:
    process = start_manage("qcluster", env={**environment, "OUTBOX_RELAYS_PER_HOST": "1"})
    wait_until(lambda: len(workers(process)) == 2)
    commit(30)
    wait_until(all_sent)
    holder = OutboxRelay.objects.get().pid
    assert holder in workers(process)

    psutil.Process(holder).kill()
    wait_until(lambda: OutboxRelay.objects.exclude(pid=holder).exists())
    commit(30)
    wait_until(all_sent)
    wait_until(lambda: OutboxRelay.objects.count() == 1)


def test_a_host_may_run_no_relay_at_all(start_manage: StartManage, environment: dict[str, str]) -> None:
    process = start_manage("qcluster", env={**environment, "OUTBOX_RELAYS_PER_HOST": "0"})
    commit(30)
    started = result(async_task("time.time", save=True), wait=HANG_GUARD_SECONDS * 1000)
    assert started is not None
    process.send(signal.SIGTERM)
    assert process.wait(timeout=HANG_GUARD_SECONDS) == 0
    assert sent() == set()
