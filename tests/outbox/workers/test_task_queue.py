from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from outbox.operations.task_queue import longest_wait
from outbox.workers import task_queue
from outbox.workers.task_queue import SAY_AGAIN_SECONDS, STUCK_AFTER, Watch, look_once, start_watch
from tests.support.sessions import sessions


class Scene:
    """A worker on a clock of its own, beside a queue of which only the longest wait is known."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.wait: timedelta | None = None
        self.ended = 0
        self.watch = self.watch_that_ends_it(after=None)

    def watch_that_ends_it(self, *, after: float | None) -> Watch:
        """Ends the cluster when the queue was stuck for so many seconds."""
        return Watch(
            restart_seconds=after, end_cluster=self._end, longest_wait=lambda: self.wait, clock=lambda: self.now
        )

    def _end(self) -> None:
        self.ended += 1

    def pass_by(self, time: timedelta) -> None:
        self.now += time.total_seconds()


@pytest.fixture
def stuck() -> Scene:
    scene = Scene()
    scene.pass_by(STUCK_AFTER)
    scene.wait = STUCK_AFTER
    return scene


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Not what threads of other tests have to say."""
    return [each for each in caplog.records if each.name == task_queue.logger.name]


def test_tasks_that_wait_beside_an_idle_worker_are_an_error(stuck: Scene, caplog: pytest.LogCaptureFixture) -> None:
    assert stuck.watch.look()
    (record,) = records(caplog)
    assert record.levelno == logging.ERROR
    assert "restart qcluster" in record.getMessage()


def test_the_error_is_said_again_only_after_minutes(stuck: Scene, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10):
        assert stuck.watch.look()
        stuck.pass_by(timedelta(seconds=SAY_AGAIN_SECONDS) / 10)
    assert len(records(caplog)) == 1
    assert stuck.watch.look()
    assert len(records(caplog)) == 2


def test_an_empty_queue_is_not_stuck(stuck: Scene) -> None:
    stuck.wait = None
    assert not stuck.watch.look()


def test_a_task_that_has_only_just_become_due_is_not_stuck(stuck: Scene) -> None:
    stuck.wait = STUCK_AFTER - timedelta(seconds=1)
    assert not stuck.watch.look()


def test_tasks_may_wait_while_the_worker_is_busy(stuck: Scene) -> None:
    stuck.watch.began(sender="django_q", task={})
    stuck.pass_by(STUCK_AFTER * 3)
    assert not stuck.watch.look()


def test_tasks_may_wait_until_an_idle_worker_had_its_time(stuck: Scene) -> None:
    stuck.watch.began()
    stuck.watch.ended()
    assert not stuck.watch.look()
    stuck.pass_by(STUCK_AFTER)
    assert stuck.watch.look()


def test_a_task_within_a_task_does_not_make_the_worker_idle(stuck: Scene) -> None:
    stuck.watch.began()
    stuck.watch.began()
    stuck.watch.ended()
    stuck.pass_by(STUCK_AFTER)
    assert not stuck.watch.look()


def test_a_queue_that_stays_stuck_ends_the_cluster_only_where_it_may(stuck: Scene) -> None:
    for _ in range(10):
        assert stuck.watch.look()
        stuck.pass_by(timedelta(hours=1))
    assert stuck.ended == 0


def test_a_queue_that_stays_stuck_ends_the_cluster_after_its_time(
    stuck: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    watch = stuck.watch_that_ends_it(after=60)
    stuck.pass_by(STUCK_AFTER)
    assert watch.look()
    stuck.pass_by(timedelta(seconds=59))
    assert watch.look()
    assert stuck.ended == 0
    stuck.pass_by(timedelta(seconds=1))
    assert watch.look()
    assert stuck.ended == 1
    assert records(caplog)[-1].getMessage().endswith("ending this qcluster. Relays drain.")


def test_a_queue_that_moved_in_between_has_its_whole_time_again(stuck: Scene) -> None:
    watch = stuck.watch_that_ends_it(after=60)
    stuck.pass_by(STUCK_AFTER)
    assert watch.look()
    for wait in (None, STUCK_AFTER):
        stuck.pass_by(timedelta(seconds=60))
        stuck.wait = wait
        watch.look()
    assert stuck.ended == 0


def test_a_look_that_fails_is_followed_by_the_next(stuck: Scene) -> None:
    def fail() -> timedelta:
        raise OperationalError("gone")

    watch = Watch(longest_wait=fail, clock=lambda: stuck.now)
    stuck.pass_by(STUCK_AFTER)
    look_once(watch)
    look_once(watch)


def test_nothing_is_watched_where_the_queue_is_not_in_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "ORM", None)
    start_watch()
    assert "outbox-task-queue-watch" not in {thread.name for thread in threading.enumerate()}


# what the database says


def queue(*, due_since: timedelta, cluster: str | None = None) -> None:
    OrmQ.objects.create(key=cluster or Conf.CLUSTER_NAME, payload="", lock=timezone.now() - due_since)


@pytest.mark.django_db
def test_the_oldest_task_that_is_due_counts() -> None:
    queue(due_since=timedelta(seconds=10))
    queue(due_since=timedelta(minutes=2))
    assert timedelta(minutes=2) <= (longest_wait() or timedelta()) < timedelta(minutes=3)


@pytest.mark.django_db
def test_a_task_that_was_taken_does_not_wait() -> None:
    queue(due_since=-timedelta(seconds=Conf.RETRY))
    assert longest_wait() is None


@pytest.mark.django_db
def test_other_clusters_have_queues_of_their_own() -> None:
    queue(due_since=timedelta(minutes=2), cluster="another")
    assert longest_wait() is None


@pytest.fixture
def locked_queue(transactional_db: None) -> Iterator[None]:
    with sessions(1) as (other,):
        other.begin()
        other.execute(f"LOCK TABLE {OrmQ._meta.db_table}")
        yield
        other.roll_back()


def test_a_database_that_does_not_answer_is_not_waited_for(locked_queue: None) -> None:
    with pytest.raises(OperationalError, match="statement timeout"):
        longest_wait()


def test_the_time_limit_ends_with_the_look(transactional_db: None) -> None:
    longest_wait()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
