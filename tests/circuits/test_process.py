"""What one process knows of its circuits, and how it hears of the others."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import psycopg
import pytest
from django.db import connection
from django.db.models.functions import Now
from pytest_django import Settings

from circuits import process as process_module
from circuits import session, store, watcher
from circuits.errors import CircuitOpen
from circuits.events import Force, Override
from circuits.guard import Circuit
from circuits.models import TenantCircuit
from circuits.operations import steering
from circuits.process import IDLE_READINGS, process
from circuits.session import Session
from circuits.view import View
from tests.circuits.marks import on_database
from tests.support.waiting import wait_until

pytestmark = on_database

KEY = ("acme", "memory")


class Down(Exception):
    """What the dependency says when it is down."""


def circuit(tenant_id: str = "acme") -> Circuit:
    return Circuit(tenant_id=tenant_id, name="memory")


def succeed(tenant_id: str = "acme") -> None:
    with circuit(tenant_id).call():
        pass


def fail() -> None:
    with pytest.raises(Down), circuit().call():
        raise Down


def watching() -> set[int]:
    """The sessions that listen, by their process."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE application_name = 'circuits watch' AND datname = current_database()"
        )
        return {pid for (pid,) in cursor.fetchall()}


def cut_all_sessions() -> None:
    """Returns when they have ended."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE application_name LIKE 'circuits %' AND datname = current_database()"
        )


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this process asks the database, by the session that asks."""
    asked: list[str] = []
    query, read_by = Session.query, store.read_by

    def told_query(self: Session, *args: Any) -> Any:
        asked.append("outcomes")
        return query(self, *args)

    def told_read_by(*args: Any) -> Any:
        asked.append("watch")
        return read_by(*args)

    monkeypatch.setattr(Session, "query", told_query)
    monkeypatch.setattr(watcher, "read_by", told_read_by)
    return asked


def test_a_circuit_that_works_is_read_once_and_then_on_a_rhythm(settings: Settings, statements: list[str]) -> None:
    settings.CIRCUITS_CACHE_TTL = 60
    for _ in range(1_000):
        succeed()
    wait_until(lambda: "watch" in statements)
    for _ in range(1_000):
        succeed()
    assert sorted(statements) == ["outcomes", "watch"]


def test_all_circuits_are_read_in_one_statement(settings: Settings, statements: list[str]) -> None:
    settings.CIRCUITS_CACHE_TTL = 60
    succeed()
    wait_until(lambda: "watch" in statements)
    process.close()
    statements.clear()
    for number in range(5):
        succeed(f"tenant-{number}")
    assert statements.count("outcomes") == 5
    assert statements.count("watch") <= 1


def test_an_open_circuit_is_refused_without_asking_the_database(statements: list[str], settings: Settings) -> None:
    settings.CIRCUITS_CACHE_TTL = 60
    for _ in range(5):
        fail()
    asked = statements.count("outcomes")
    for _ in range(100):
        with pytest.raises(CircuitOpen):
            succeed()
    assert statements.count("outcomes") == asked


def test_what_another_process_does_is_heard_long_before_the_next_reading(settings: Settings) -> None:
    settings.CIRCUITS_CACHE_TTL = 60
    succeed()
    wait_until(watching)
    other = process_module.Process()
    force = Force(override=Override.FORCED_OPEN, by="ann", reason="move")
    wait_until(lambda: process.views[KEY].noted_at)
    other.command(KEY, force)
    wait_until(lambda: circuit().state() == "forced_open", timeout=30)
    other.close()


def test_thresholds_that_anybody_writes_are_heard_too(settings: Settings) -> None:
    settings.CIRCUITS_CACHE_TTL = 60
    TenantCircuit.objects.create(tenant_id="acme", name="memory")
    succeed()
    wait_until(watching)
    wait_until(lambda: TenantCircuit.objects.update(failure_threshold=1) and _threshold() == 1, timeout=30)


def _threshold() -> int:
    return process.view(KEY).policy.failure_threshold


def test_without_listening_changes_are_read_on_the_rhythm(settings: Settings) -> None:
    settings.CIRCUITS_LISTEN = False
    settings.CIRCUITS_CACHE_TTL = 0.05
    succeed()
    TenantCircuit.objects.create(tenant_id="acme", name="memory", failure_threshold=1)
    wait_until(lambda: _threshold() == 1)


def test_the_watch_outlives_the_sessions_that_it_has(settings: Settings) -> None:
    settings.CIRCUITS_CACHE_TTL = 60
    succeed()
    wait_until(watching)
    before = watching()
    cut_all_sessions()
    wait_until(lambda: watching() - before)
    wait_until(lambda: TenantCircuit.objects.update_or_create(tenant_id="acme", name="memory", failure_threshold=1))
    wait_until(lambda: _threshold() == 1)


def test_circuits_that_nobody_uses_are_forgotten_and_the_watch_ends(settings: Settings) -> None:
    settings.CIRCUITS_CACHE_TTL = 0.01
    succeed()
    wait_until(lambda: not process.views)
    wait_until(lambda: not any(each.name == "circuits-watch" for each in threading.enumerate()))
    settings.CIRCUITS_CACHE_TTL = 60
    succeed()
    assert process.views


def test_a_circuit_in_use_is_kept(settings: Settings, statements: list[str]) -> None:
    settings.CIRCUITS_CACHE_TTL = 0.05
    succeed()
    while statements.count("watch") < 2 * IDLE_READINGS:
        succeed()
        threading.Event().wait(0.001)
    assert statements.count("outcomes") == 1


def test_a_child_process_begins_anew() -> None:
    succeed()
    wait_until(watching)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            known = len(process.views)
            for _ in range(5):
                try:
                    with circuit().call():
                        raise Down
                except Down:
                    pass
            os.write(write, f"{known} {circuit().state()}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"0 open"
    wait_until(lambda: circuit().state() == "open")
    assert process.acquire(KEY) is not None, "the parent's session still works"
    for end in (read, write):
        os.close(end)


class TestWithoutADatabase:
    @pytest.fixture
    def out(self, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
        def refuse(name: str) -> None:
            raise psycopg.OperationalError("connection refused")

        monkeypatch.setattr(session, "connect", refuse)
        monkeypatch.setattr(watcher, "connect", refuse)
        return monkeypatch

    def test_calls_go_on_and_one_warning_is_logged(
        self, out: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(10):
            fail()
            succeed()
        assert [record.levelname for record in caplog.records] == ["WARNING"]

    def test_what_was_known_still_holds(self, settings: Settings, out: pytest.MonkeyPatch) -> None:
        out.undo()
        for _ in range(5):
            fail()
        out.setattr(session, "connect", _refuse)
        out.setattr(watcher, "connect", _refuse)
        cut_all_sessions()
        with pytest.raises(CircuitOpen):
            succeed()

    def test_an_interval_that_ends_meanwhile_lets_calls_through(self, out: pytest.MonkeyPatch) -> None:
        out.undo()
        TenantCircuit.objects.create(
            tenant_id="acme", name="memory", state="open", open_until=Now() + timedelta(hours=1)
        )
        assert circuit().state() == "open"
        out.setattr(session, "connect", _refuse)
        out.setattr(watcher, "connect", _refuse)
        cut_all_sessions()
        now = View.now
        out.setattr(View, "now", lambda view: now(view) + timedelta(hours=2))
        assert circuit().state() == "half_open"
        succeed()

    def test_circuits_count_again_when_it_is_back(
        self, out: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        steered = TenantCircuit.objects.create(tenant_id="acme", name="memory", override="forced_open")
        succeed()
        out.undo()
        wait_until(lambda: circuit().state() == "forced_open")
        steering.automatic(tenant_id="acme", name="memory", by="ann", reason="well again")
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert steered.pk


def _refuse(name: str) -> None:
    raise psycopg.OperationalError("connection refused")


class Ahead(datetime):
    """The clock of a host that is wrong by five minutes."""

    offset: ClassVar[timedelta] = timedelta(minutes=5)

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + cls.offset


@pytest.mark.parametrize("minutes", [-5, 5])
def test_the_clock_of_this_host_plays_no_part(monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    monkeypatch.setattr(Ahead, "offset", timedelta(minutes=minutes))
    monkeypatch.setattr(process_module, "datetime", Ahead)
    monkeypatch.setattr("time.time", lambda: datetime.now(UTC).timestamp() + minutes * 60)
    for _ in range(5):
        fail()
    stored = TenantCircuit.objects.get()
    assert stored.open_until is not None
    assert stored.opened_at is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT abs(extract(epoch FROM clock_timestamp() - opened_at)) FROM circuits_tenant_circuits")
        (age,) = cursor.fetchone() or (None,)
    assert age is not None
    assert age < 60
    assert 27 <= (stored.open_until - stored.opened_at).total_seconds() <= 30
    with pytest.raises(CircuitOpen) as refused:
        succeed()
    assert 0 < refused.value.retry_after <= 30
