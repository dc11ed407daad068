"""Jobs in real workers: run, killed half-way, lost and found."""

from __future__ import annotations

import os
import re
import signal

import pytest
from django.db import OperationalError
from django_q.models import OrmQ

from outbox.models import EventStatus, OperatorAction, OutboxEvent, OutboxJob, OutboxRelay
from outbox.workers import jobs
from tests.conftest import StartManage
from tests.outbox.operations.jobs.scene import job, started
from tests.support.load import commit, sent
from tests.support.mock_cluster import MockCluster
from tests.support.processes import ManageProcess
from tests.support.waiting import wait_until

EVENTS = 600


@pytest.fixture
def dead_letters(transactional_db: None) -> set[int]:
    commit(EVENTS)
    OutboxEvent.objects.update(status=EventStatus.FAILED)
    return set(OutboxEvent.objects.values_list("id", flat=True))


@pytest.fixture
def qcluster(start_manage: StartManage, mock_cluster: MockCluster, dead_letters: set[int]) -> ManageProcess:
    env = {"KAFKA_BOOTSTRAP_SERVERS": mock_cluster.bootstrap_servers, "OUTBOX_JOB_LEASE_SECONDS": "2"}
    process = start_manage("qcluster", env=env)
    wait_until(lambda: OutboxRelay.objects.count() == 2, explain=process.output)
    return process


def busy_worker(process: ManageProcess, job_id: int) -> int:
    """The worker that runs the job. An idle one may take the lock of the task queue with it when it is killed."""
    name, *_ = re.findall(rf"(Process-\w+) processing .*outbox job {job_id}\b", process.output())[-1:]
    (pid,) = re.findall(rf"{name} ready for work at (\d+)", process.output())
    return int(pid)


def replayed() -> list[int]:
    actions = OperatorAction.objects.filter(verb="replay")
    return [event_id for action in actions for ids in (action.before or {}).values() for event_id in ids]


def test_a_job_whose_worker_is_killed_half_way_loses_and_repeats_nothing(
    qcluster: ManageProcess, dead_letters: set[int]
) -> None:
    job_id = started(rate=100)
    wait_until(lambda: job(job_id).done >= 100, explain=qcluster.output)
    os.kill(busy_worker(qcluster, job_id), signal.SIGKILL)
    assert job(job_id).done < EVENTS
    # As of a job that has run for longer than a task is waited for.
    OutboxJob.objects.update(rate=None, offered_at="2020-01-01T00:00Z")
    wait_until(lambda: job(job_id).state == "done", explain=qcluster.output, timeout=120)

    found = job(job_id)
    assert (found.done, found.skipped) == (EVENTS, {})
    assert sorted(replayed()) == sorted(dead_letters)
    wait_until(lambda: sent() == dead_letters, explain=qcluster.output)
    assert OutboxEvent.objects.filter(headers__replay="1").count() == EVENTS


def test_a_job_whose_task_was_lost_is_found(qcluster: ManageProcess, dead_letters: set[int]) -> None:
    lost = started(rate=10)
    wait_until(lambda: job(lost).done > 0, explain=qcluster.output)
    OrmQ.objects.all().delete()
    OutboxJob.objects.update(rate=None, lease_until=None, token=99, offered_at="2020-01-01T00:00Z")
    wait_until(lambda: job(lost).state == "done", explain=qcluster.output, timeout=120)
    assert job(lost).done == EVENTS


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError("down"), RuntimeError("the queue is elsewhere")])
def test_nothing_stops_the_watch(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def down() -> int:
        raise error

    monkeypatch.setattr(jobs, "offer_lost", down)
    assert jobs.look_once() == 0
