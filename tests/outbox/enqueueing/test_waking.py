"""The wake-up through a real LISTEN: after the commit, once, and never at the caller's expense."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from outbox.api import NewEvent, enqueue, enqueue_many
from outbox.enqueueing import waking
from outbox.models import OutboxEvent
from outbox.wakeup import CHANNEL, parse
from tests.support import database

pytestmark = pytest.mark.django_db(transaction=True)

_HANG_GUARD_SECONDS = 60
_END = "end-of-test"


class Listener:
    """What a relay hears. `heard` ends at a message of its own, sent after all others: nothing is waited out."""

    def __init__(self) -> None:
        self._connection = psycopg.connect(database.url(), autocommit=True)
        self._connection.execute(f"LISTEN {CHANNEL}")

    def heard(self) -> list[object]:
        self._connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, _END))
        messages = [notify.payload for notify in self._until(_END)]
        return [parse(message) for message in messages[:-1]]

    def wait_for(self, tenant: str) -> list[Any]:
        """All messages up to the first that names the tenant."""
        return [parse(notify.payload) for notify in self._until(tenant)]

    def wait_for_sender(self, tenant: str) -> int:
        """Process id of the session that told of the tenant."""
        return list(self._until(tenant))[-1].pid

    def _until(self, name: str) -> Iterator[psycopg.Notify]:
        for notify in self._connection.notifies(timeout=_HANG_GUARD_SECONDS):
            yield notify
            if name in notify.payload.split(","):
                return
        raise AssertionError(f"nobody told of {name}")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def listener(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Hears nothing of the tests before and leaves nothing to those after."""
    forget_what_is_left_to_say(monkeypatch)
    opened = Listener()
    yield opened
    opened.close()
    forget_what_is_left_to_say(monkeypatch)


def forget_what_is_left_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(waking, "_LINGER_SECONDS", 0)
        end_threads()
    waking._wakers.clear()


def end_threads() -> None:
    for waker in waking._wakers.values():
        with waker._changed:
            waker._coalescer._tenants.clear()
            waker._changed.notify()
    for thread in threading.enumerate():
        if thread.name.startswith("outbox-wakeup"):
            thread.join(_HANG_GUARD_SECONDS)
            assert not thread.is_alive()


@pytest.fixture
def long_interval(settings: Settings) -> None:
    """So long that what is told at its end is not told in this test."""
    settings.OUTBOX_NOTIFY_INTERVAL_SECONDS = 10


def enqueue_for(*tenants: str, **changes: Any) -> None:
    for tenant in tenants:
        enqueue(**{"topic": "orders", "payload": {}, "tenant_id": tenant, **changes})


def test_a_commit_wakes_the_relays_for_its_tenants_with_one_message(listener: Listener) -> None:
    with transaction.atomic():
        enqueue_for("acme", "globex", "acme")
    assert listener.heard() == [{"acme", "globex"}]


def test_nothing_is_told_before_the_commit(listener: Listener) -> None:
    with transaction.atomic():
        enqueue_for("acme")
        assert listener.heard() == []


def test_nothing_is_told_of_a_rollback(listener: Listener) -> None:
    with transaction.atomic():
        enqueue_for("acme")
        transaction.set_rollback(True)
    assert listener.heard() == []


def test_the_business_transaction_holds_no_notify(listener: Listener) -> None:
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        enqueue_for("acme")
    assert not [each for each in queries if "notify" in each["sql"].lower()]
    assert listener.heard() == [{"acme"}]


def test_events_that_are_not_due_yet_wake_nobody(listener: Listener) -> None:
    with transaction.atomic():
        enqueue_for("acme", available_at=timezone.now() + timedelta(hours=1))
    assert listener.heard() == []


def test_duplicates_wake_nobody(listener: Listener) -> None:
    OutboxEvent.objects.create(topic="orders", payload={}, tenant_id="acme", dedupe_key="a")
    with transaction.atomic():
        enqueue_for("acme", dedupe_key="a")
        enqueue_many([NewEvent(topic="orders", payload={}, tenant_id="acme", dedupe_key="a")])
    assert listener.heard() == []


def test_many_events_are_one_message(listener: Listener) -> None:
    with transaction.atomic():
        enqueue_for("before")
        enqueue_many(NewEvent(topic="orders", payload={}, tenant_id=f"t{n % 3}") for n in range(1_000))
    assert listener.heard() == [{"before", "t0", "t1", "t2"}]


def test_more_tenants_than_a_message_holds_are_everyone(listener: Listener) -> None:
    with transaction.atomic():
        enqueue_many(NewEvent(topic="orders", payload={}, tenant_id=f"tenant-{n}") for n in range(2_000))
    assert listener.heard() == [None]


def test_a_savepoint_rolled_back_takes_its_message_along_and_no_other(listener: Listener) -> None:
    class Refused(Exception):
        pass

    with transaction.atomic():
        try:
            with transaction.atomic():
                enqueue_for("refused")
                raise Refused
        except Refused:
            enqueue_for("acme")
    assert listener.heard() == [{"acme"}]


def test_hooks_of_the_application_in_between_do_not_multiply_the_messages(
    listener: Listener, long_interval: None
) -> None:
    with transaction.atomic():
        for tenant in ("a", "b", "c"):
            transaction.on_commit(lambda: None)
            enqueue_for(tenant)
    assert listener.heard() == [{"a", "b", "c"}]


def test_without_a_transaction_it_is_told_at_once(listener: Listener) -> None:
    enqueue_for("acme", autocommit=True)
    assert listener.heard() == [{"acme"}]


def test_a_transaction_committed_by_hand_is_left_to_the_relays_own_looks(listener: Listener) -> None:
    transaction.set_autocommit(False)
    try:
        enqueue_for("acme")
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert listener.heard() == []
    assert OutboxEvent.objects.exists()


def test_it_can_be_switched_off(listener: Listener, settings: Settings) -> None:
    settings.OUTBOX_NOTIFY = "false"
    with transaction.atomic():
        enqueue_for("acme")
    assert listener.heard() == []


def test_what_commits_soon_after_is_told_by_a_thread(listener: Listener, settings: Settings) -> None:
    settings.OUTBOX_NOTIFY_INTERVAL_SECONDS = 0.1
    for tenant in ("first", "second", "third", "last"):
        with transaction.atomic():
            enqueue_for(tenant)
    first, *others = listener.wait_for("last")
    assert first == {"first"}
    assert set().union(*others) == {"second", "third", "last"}


def test_the_interval_is_the_processs_and_not_the_threads(listener: Listener, long_interval: None) -> None:
    def commit(tenant: str) -> None:
        enqueue_for(tenant, autocommit=True)
        connection.close()

    for tenant in ("a", "b", "c"):
        thread = threading.Thread(target=commit, args=(tenant,))
        thread.start()
        thread.join()
    assert listener.heard() == [{"a"}]


def test_the_thread_ends_when_idle_and_comes_again(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "_LINGER_SECONDS", 0)
    for number in range(3):
        enqueue_for(f"now-{number}", autocommit=True)
        enqueue_for(f"later-{number}", autocommit=True)
        listener.wait_for(f"later-{number}")
        end_threads()


def test_test_tools_that_run_hooks_inside_of_a_transaction_wake_nobody(listener: Listener) -> None:
    with transaction.atomic():
        with TestCase.captureOnCommitCallbacks(execute=True) as hooks:
            enqueue_for("acme")
        transaction.set_rollback(True)
    assert len(hooks) == 1
    assert listener.heard() == []


def cut(process_id: int) -> None:
    """End a session and return once it is gone."""
    with psycopg.connect(database.url(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [process_id])
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [process_id]).fetchone():
            pass


def test_a_wakeup_that_fails_costs_the_caller_nothing_and_is_logged_once(
    listener: Listener, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.OUTBOX_NOTIFY_INTERVAL_SECONDS = 0

    def commit_and_lose_the_connection(tenant: str) -> None:
        with transaction.atomic():
            transaction.on_commit(lambda: cut(connection.connection.info.backend_pid))
            enqueue_for(tenant)
        connection.close()

    for tenant in ("lost", "lost-too"):
        commit_and_lose_the_connection(tenant)
    assert len(said(caplog)) == 1
    enqueue_for("told", autocommit=True)
    commit_and_lose_the_connection("lost-again")
    assert len(said(caplog)) == 2
    assert "they look by themselves" in caplog.text
    assert OutboxEvent.objects.count() == 4
    assert listener.heard() == [{"told"}]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Not what threads of other tests have to say."""
    return [each.getMessage() for each in caplog.records if each.name == waking.__name__]


def test_the_thread_gets_itself_a_new_connection(
    listener: Listener, settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOX_NOTIFY_INTERVAL_SECONDS = 0.01
    monkeypatch.setattr(waking, "_LINGER_SECONDS", 60)

    def tell_by_thread(tenant: str) -> None:
        enqueue_for(f"before-{tenant}", autocommit=True)
        enqueue_for(tenant, autocommit=True)

    connection.ensure_connection()
    ours = sender = connection.connection.info.backend_pid
    while sender == ours:  # Slow as the machine may be: the interval can be over before the thread has its turn.
        tell_by_thread("first")
        sender = listener.wait_for_sender("first")
    cut(sender)
    while not said(caplog):
        tell_by_thread("lost")
    tell_by_thread("last")
    listener.wait_for("last")
    assert len(said(caplog)) == 1


def test_an_unforeseen_error_ends_the_thread_and_the_next_commit_starts_another(
    listener: Listener, long_interval: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue_for("first", autocommit=True)
    with monkeypatch.context() as patched:
        patched.setattr(waking._Waker, "_next", lambda self: 1 / 0)
        enqueue_for("second", autocommit=True)
        end_threads()
    assert "ZeroDivisionError" in caplog.text
    enqueue_for("third", autocommit=True)
    assert [each for each in threading.enumerate() if each.name.startswith("outbox-wakeup")]
    assert listener.heard() == [{"first"}]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_a_fork_the_child_wakes_by_itself(listener: Listener, long_interval: None) -> None:
    enqueue_for("parent", autocommit=True)
    enqueue_for("parent-later", autocommit=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            connection.connection = None
            enqueue_for("child", autocommit=True)
            connection.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert listener.heard() == [{"parent"}, {"child"}]
