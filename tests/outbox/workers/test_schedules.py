from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, connections
from django.utils import timezone
from django_q import scheduler
from django_q.brokers import get_broker
from django_q.models import OrmQ, Schedule
from django_q.signing import SignedPackage
from pytest_django import Settings

from outbox import tasks
from outbox.workers import schedules
from tests.support.sessions import sessions
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db


def schedule() -> Schedule:
    found: Schedule = Schedule.objects.get(name=schedules.PRUNE)
    return found


def test_pruning_recurs_every_few_minutes(settings: Settings) -> None:
    settings.OUTBOX_PRUNE_MINUTES = 7
    schedules.write()
    found = schedule()
    assert (found.func, found.schedule_type, found.minutes) == (tasks.PRUNE, Schedule.MINUTES, 7)


@pytest.mark.django_db(transaction=True)
def test_django_q_makes_a_task_of_it_that_is_not_kept() -> None:
    schedules.write()
    Schedule.objects.update(next_run=timezone.now() - timedelta(seconds=1))
    scheduler.scheduler(get_broker())
    task = SignedPackage.loads(OrmQ.objects.get().payload)
    assert (task["func"], task["save"], task["kwargs"]) == (tasks.PRUNE, False, {})


def test_writing_again_changes_nothing_that_people_have_set() -> None:
    schedules.write()
    Schedule.objects.update(repeats=0)
    schedules.write()
    assert schedule().repeats == 0


def test_a_changed_setting_changes_the_schedule(settings: Settings) -> None:
    schedules.write()
    settings.OUTBOX_PRUNE_MINUTES = 60
    schedules.write()
    assert schedule().minutes == 60
    settings.OUTBOX_PRUNE_MINUTES = None
    schedules.write()
    assert not Schedule.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_workers_that_start_together_write_one() -> None:
    with sessions(4) as others:
        for future in [other.start(schedules.write) for other in others]:
            future.result(60)
    assert Schedule.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_it_is_written_from_a_thread_that_leaves_no_session_behind() -> None:
    schedules.keep()
    wait_until(lambda: "outbox-schedules" not in {thread.name for thread in threading.enumerate()})
    assert schedule().minutes == 5
    wait_until(lambda: other_sessions() == 0)


def other_sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        (count,) = cursor.fetchone() or (None,)
    assert isinstance(count, int)
    return count


def test_without_a_database_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[float] = []

    def write() -> None:
        if len(attempts) < 2:
            raise DatabaseError("starting up")

    monkeypatch.setattr(schedules, "write", write)
    monkeypatch.setattr(connections, "close_all", lambda: None)
    schedules._keep(attempts.append)
    assert attempts == [schedules.AGAIN_SECONDS] * 2


def test_other_databases_are_not_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "sqlite")
    schedules.write()
    assert schedule().minutes == 5
