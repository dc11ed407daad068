"""Jobs are found again, whatever became of their tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import django_q.tasks
import pytest
from django.apps import apps
from django.db import OperationalError
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from outbox.models import OutboxJob
from outbox.models.functions import ClockTimestamp
from outbox.operations.jobs import desk, queue
from outbox.operations.jobs.states import Action
from outbox.operations.jobs.work import _claim
from tests.outbox.operations.jobs.scene import job, started
from tests.outbox.operations.rows import ANN

pytestmark = pytest.mark.django_db


def queued() -> list[tuple[Any, ...]]:
    return [tuple(SignedPackage.loads(row.payload)["args"]) for row in OrmQ.objects.all()]


def pass_by(seconds: float) -> None:
    OutboxJob.objects.update(offered_at=ClockTimestamp() - timedelta(seconds=seconds))


def test_a_job_is_queued_when_it_is_committed(django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job_id = started()
        assert queued() == []
    assert queued() == [(job_id, "default")]


def test_a_lost_task_is_replaced_once(django_capture_on_commit_callbacks: Any) -> None:
    job_id = started()
    assert queue.offer_lost() == 0
    pass_by(31)
    assert (queue.offer_lost(), queue.offer_lost()) == (1, 0)
    assert queued() == [(job_id, "default")]


def test_a_job_that_somebody_works_on_is_left_alone_until_its_lease_is_over() -> None:
    job_id = started()
    assert _claim(job_id, "default")
    pass_by(100)
    assert queue.offer_lost() == 0
    OutboxJob.objects.update(lease_until=ClockTimestamp() - timedelta(seconds=1))
    assert queue.offer_lost() == 1


@pytest.mark.parametrize("action", [Action.PAUSE, Action.CANCEL])
def test_a_job_that_is_not_to_run_is_not_offered(action: Action) -> None:
    desk.move(started(), action, by=ANN, reason="wait")
    pass_by(100)
    assert queue.offer_lost() == 0


def test_a_queue_that_takes_nothing_is_not_the_callers_trouble(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("the queue is down")

    monkeypatch.setattr(django_q.tasks, "async_task", fail)
    with django_capture_on_commit_callbacks(execute=True):
        job_id = started()
    assert job(job_id).state == "queued"
    assert "could not be queued" in caplog.text


def test_without_django_q_jobs_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "is_installed", lambda _: False)
    queue.offer(started(), using="default")
    assert queued() == []
