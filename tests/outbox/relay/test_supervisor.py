from __future__ import annotations

import gc
import itertools
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from outbox.api import NewEvent, enqueue_many
from outbox.errors import ProducerLost
from outbox.models import EventStatus, OutboxEvent, OutboxLane, OutboxRelay
from outbox.relay import supervisor
from outbox.relay.supervisor import RelayThread, Supervisor
from tests.support.mock_cluster import MockCluster
from tests.support.topics import event_ids
from tests.support.waiting import wait_until


class FakeRelay:
    """Does what the test wrote down for it, and notes what is asked of it."""

    def __init__(self, act: Callable[[FakeRelay], None]) -> None:
        self.id = uuid.uuid4()
        self.steering = SimpleNamespace(tally=SimpleNamespace(published=0, failed_attempts=0, dead_letters=0))
        self.calls: list[str] = []
        self.until_empty: bool | None = None
        self._act = act

    def run(self, *, until_empty: bool = False) -> None:
        self.until_empty = until_empty
        self.calls.append("run")
        self._act(self)

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")

    def abandon(self) -> None:
        self.calls.append("abandon")


class Stage:
    """A supervisor on a clock of its own, with relays that act one after the other."""

    def __init__(self, *acts: Callable[[FakeRelay], None] | BaseException) -> None:
        self.now = 100.0
        self.relays: list[FakeRelay] = []
        self.pauses: list[float] = []
        self._acts = iter(acts)
        self.supervisor = Supervisor(make=self._make, clock=lambda: self.now, draw=lambda: 1.0, pause=self._pause)

    def _make(self) -> Any:
        act = next(self._acts)
        if isinstance(act, BaseException):
            raise act
        self.relays.append(FakeRelay(act))
        return self.relays[-1]

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def ends(relay: FakeRelay) -> None:
    pass


def fails_with(error: BaseException) -> Callable[[FakeRelay], None]:
    def act(relay: FakeRelay) -> None:
        raise error

    return act


def test_a_relay_that_ends_as_asked_is_closed_and_not_replaced() -> None:
    stage = Stage(ends)
    stage.supervisor.run()
    assert [relay.calls for relay in stage.relays] == [["run", "close"]]
    assert stage.pauses == []
    assert stage.supervisor.error is None


@pytest.mark.parametrize(
    "error",
    [psycopg.OperationalError("gone"), psycopg.InterfaceError("closed"), ProducerLost("fenced"), ValueError("a bug")],
    ids=lambda error: type(error).__name__,
)
def test_a_relay_that_fails_is_abandoned_and_replaced(error: Exception) -> None:
    stage = Stage(fails_with(error), ends)
    stage.supervisor.run()
    assert [relay.calls for relay in stage.relays] == [["run", "abandon"], ["run", "close"]]


def test_a_relay_that_fails_while_it_closes_is_abandoned() -> None:
    stage = Stage(ends, ends)
    broken = psycopg.OperationalError("gone at the last moment")
    stage.relays = relays = []

    def make() -> Any:
        relays.append(FakeRelay(ends))
        if len(relays) == 1:
            relays[0].close = lambda: fails_with(broken)(relays[0])  # type: ignore[method-assign]
        return relays[-1]

    Supervisor(make=make, pause=stage.pauses.append).run(until_empty=True)
    assert [relay.calls for relay in relays] == [["run", "abandon"], ["run", "close"]]


def test_a_failing_abandon_is_outlived(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(fails_with(psycopg.OperationalError("gone")), ends)
    make = stage._make

    def make_stubborn() -> Any:
        relay = make()
        relay.abandon = lambda: fails_with(RuntimeError("stuck"))(relay)
        return relay

    Supervisor(make=make_stubborn, pause=stage.pauses.append).run()
    assert len(stage.relays) == 2
    assert "could not be put away" in caplog.text


def test_a_relay_that_cannot_even_be_made_is_tried_again() -> None:
    stage = Stage(psycopg.OperationalError("connection refused"), psycopg.OperationalError("starting up"), ends)
    stage.supervisor.run()
    assert len(stage.relays) == 1
    assert len(stage.pauses) == 2


def test_pauses_double_up_to_the_cap() -> None:
    stage = Stage(*[psycopg.OperationalError("refused")] * 8, ends)
    stage.supervisor.run()
    assert stage.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2]


def test_pauses_begin_anew_after_a_relay_that_lasted() -> None:
    def lasts(relay: FakeRelay) -> None:
        stage.now += 60
        raise psycopg.OperationalError("restarted")

    stage = Stage(*[psycopg.OperationalError("refused")] * 3, lasts, psycopg.OperationalError("refused"), ends)
    stage.supervisor.run()
    assert stage.pauses == [0.1, 0.2, 0.4, 0.1, 0.2]


def test_what_is_no_exception_comes_out_after_the_producer_was_purged() -> None:
    stage = Stage(fails_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        stage.supervisor.run()
    assert stage.relays[0].calls == ["run", "abandon"]


def test_until_empty_reaches_every_relay() -> None:
    stage = Stage(fails_with(psycopg.OperationalError("gone")), ends)
    stage.supervisor.run(until_empty=True)
    assert [relay.until_empty for relay in stage.relays] == [True, True]


def test_stop_reaches_the_relay_that_runs() -> None:
    stage = Stage(lambda relay: stage.supervisor.stop())
    stage.supervisor.run()
    assert stage.relays[0].calls == ["run", "stop", "close"]


def test_a_stop_while_a_relay_is_made_is_not_lost() -> None:
    relay = FakeRelay(ends)

    def make() -> Any:
        stopped.stop()
        return relay

    stopped = Supervisor(make=make)
    stopped.run()
    assert relay.calls == ["stop", "run", "close"]


def test_no_relay_follows_one_that_fails_while_it_drains() -> None:
    def fails_draining(relay: FakeRelay) -> None:
        stage.supervisor.stop()
        raise psycopg.OperationalError("gone")

    stage = Stage(fails_draining)
    stage.supervisor.run()
    assert stage.relays[0].calls == ["run", "stop", "abandon"]


def test_a_stop_ends_a_pause() -> None:
    refused = itertools.repeat(psycopg.OperationalError("refused"))
    waiting = Supervisor(make=lambda: fails_with(next(refused))(FakeRelay(ends)), draw=lambda: 10_000)  # type: ignore[arg-type, return-value]
    thread = RelayThread(waiting)
    thread.start()
    assert thread.stop_and_join()


def test_the_counts_of_all_relays_are_added_up() -> None:
    def works(relay: FakeRelay) -> None:
        relay.steering.tally.published += 7
        relay.steering.tally.failed_attempts += 2
        relay.steering.tally.dead_letters += 1
        stage.now += 2

    def works_and_fails(relay: FakeRelay) -> None:
        works(relay)
        assert stage.supervisor.summary().published == 7
        raise ProducerLost("fenced")

    stage = Stage(works_and_fails, works)
    summary = stage.supervisor.run()
    assert (summary.published, summary.failed_attempts, summary.dead_letters) == (14, 4, 2)
    assert summary.seconds == pytest.approx(4.1)
    assert summary.rate == pytest.approx(14 / 4.1)


def test_before_anything_has_run_the_rate_is_zero() -> None:
    assert Supervisor().summary().rate == 0


@pytest.mark.parametrize("error", [psycopg.OperationalError("server closed\n\tthe connection"), ProducerLost("fenced")])
def test_an_outage_is_one_line_in_the_log(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    Stage(fails_with(error), ends).supervisor.run()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "\n" not in record.getMessage()
    assert record.exc_info is None


def test_anything_else_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    Stage(fails_with(ValueError("a bug")), ends).supervisor.run()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.exc_info is not None


def test_an_error_that_stays_the_same_is_said_twice_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(*[psycopg.OperationalError("refused")] * 36, ends)
    stage.supervisor.run()
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert sum(stage.pauses) == pytest.approx(65.1)
    assert len(records) == 3


def test_another_error_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    Stage(psycopg.OperationalError("refused"), psycopg.OperationalError("starting up"), ends).supervisor.run()
    assert "refused" in caplog.text
    assert "starting up" in caplog.text


def test_missing_tables_are_logged_with_the_way_out(caplog: pytest.LogCaptureFixture) -> None:
    missing = psycopg.errors.UndefinedTable('relation "outbox_relays" does not exist')
    Stage(missing, ends).supervisor.run()
    assert "manage.py migrate" in caplog.text


def test_a_drain_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    running, release = threading.Event(), threading.Event()

    def hangs(relay: FakeRelay) -> None:
        running.set()
        assert_waits(release)

    thread = RelayThread(Supervisor(make=lambda: FakeRelay(hangs)))  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(supervisor, "drain_seconds", lambda: 0.01)
    thread.start()
    # A thread that is stopped before it comes to its relay has nothing to hang in.
    assert_waits(running)
    assert not thread.stop_and_join()
    release.set()
    thread.join()


def assert_waits(event: threading.Event) -> None:
    assert event.wait(60)


# with a database and a broker


@pytest.fixture
def running(transactional_db: None, mock_cluster: MockCluster, settings: Any) -> Iterator[Supervisor]:
    settings.OUTBOX_KAFKA_CONFIG = {"bootstrap.servers": mock_cluster.bootstrap_servers}
    thread = RelayThread(Supervisor())
    thread.start()
    yield thread.supervisor
    assert thread.stop_and_join()


def commit(count: int, *, topic: str = "orders") -> None:
    with transaction.atomic():
        enqueue_many(
            NewEvent(topic=topic, payload={"n": n}, tenant_id=f"tenant-{n % 3}", partition_key=str(n % 10))
            for n in range(count)
        )


def all_sent() -> bool:
    return not OutboxEvent.objects.exclude(status=EventStatus.SENT).exists()


@pytest.mark.parametrize("session", ["rounds", "settle", "watch", "listen"])
def test_a_relay_that_loses_a_session_is_followed_by_another_one(
    session: str, running: Supervisor, mock_cluster: MockCluster
) -> None:
    commit(20)
    wait_until(all_sent)
    before = OutboxRelay.objects.get().id

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = %s",
            [f"outbox-relay {session}"],
        )
        assert cursor.fetchall() == [(True,)]

    wait_until(lambda: OutboxRelay.objects.exclude(id=before).exists())
    commit(20)
    wait_until(all_sent)
    wait_until(lambda: not OutboxRelay.objects.filter(id=before).exists())
    assert len(set(event_ids(mock_cluster.bootstrap_servers, "orders"))) == 40


def test_no_broker_at_the_start_is_no_error(
    transactional_db: None, mock_cluster: MockCluster, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.OUTBOX_KAFKA_CONFIG = {"bootstrap.servers": mock_cluster.bootstrap_servers}
    mock_cluster.broker_down()
    commit(20)
    thread = RelayThread(Supervisor())
    thread.start()
    try:
        wait_until(OutboxRelay.objects.exists)
        mock_cluster.broker_up()
        wait_until(all_sent)
        assert thread.supervisor.error is None
        assert OutboxEvent.objects.filter(attempts__gt=0).count() == 0
        assert "A relay failed" not in caplog.text
    finally:
        assert thread.stop_and_join()


def test_a_drained_relay_leaves_neither_lease_nor_row(running: Supervisor) -> None:
    commit(20)
    wait_until(all_sent)
    running.stop()
    wait_until(lambda: not OutboxRelay.objects.exists())
    assert not OutboxLane.objects.filter(owner__isnull=False).exists()


@pytest.mark.usefixtures("collector")
def test_python_looks_for_cycles_less_often_while_a_relay_runs_but_still_does() -> None:
    gc.set_threshold(700, 10, 10)
    Stage(ends).supervisor.run()
    assert gc.isenabled()
    assert gc.get_threshold() == (supervisor.COLLECT_AFTER, 10, 10)
    assert gc.get_freeze_count() > 10_000


@pytest.mark.usefixtures("collector")
def test_a_rarer_search_that_somebody_has_set_stays() -> None:
    gc.set_threshold(100_000, 50, 100)
    Stage(ends).supervisor.run()
    assert gc.get_threshold() == (100_000, 50, 100)
