"""Circuits in the database, moved by several sessions at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import psycopg
import pytest
from django.db import connection, transaction
from pytest_django import Settings

from circuits import session
from circuits.errors import StoreUnavailable
from circuits.events import Acquire, Allowed, Failed, Force, Override, Phase, Refused, Released, Succeeded
from circuits.models import CircuitTransition, TenantCircuit
from circuits.names import Key
from circuits.session import Session
from circuits.store import Store
from tests.circuits.marks import on_database

T = TypeVar("T")

pytestmark = on_database

KEY: Key = ("acme", "memory")


@contextmanager
def stores(count: int) -> Iterator[list[Store]]:
    """Each with a session of its own, as in as many processes."""
    opened = [Session() for _ in range(count)]
    try:
        yield [Store(each) for each in opened]
    finally:
        for each in opened:
            each.close()


def at_once(stores: list[Store], do: Callable[[Store], T]) -> list[T]:
    """All of them begin at the same moment."""
    barrier = threading.Barrier(len(stores))

    def run(store: Store) -> T:
        barrier.wait()
        return do(store)

    with ThreadPoolExecutor(len(stores)) as threads:
        return list(threads.map(run, stores))


def decide(store: Store) -> Allowed | Refused:
    _, effects = store.apply(KEY, [Acquire()])
    return next(each for each in effects if isinstance(each, Allowed | Refused))


@pytest.fixture
def patient(settings: Settings) -> None:
    """Who waits for others is not told that they are slow."""
    settings.CIRCUITS_LOCK_TIMEOUT = settings.CIRCUITS_STATEMENT_TIMEOUT = 60


def row() -> TenantCircuit:
    return TenantCircuit.objects.get()


def store_open(**fields: object) -> None:
    TenantCircuit.objects.create(
        tenant_id="acme", name="memory", state="open", open_until="2020-01-01T00:00:00Z", epoch=7, **fields
    )


def test_no_failure_is_lost_when_many_fail_at_once(patient: None) -> None:
    TenantCircuit.objects.create(tenant_id="acme", name="memory", failure_threshold=1_000)
    with stores(6) as many:
        at_once(many, lambda store: [store.apply(KEY, [Failed(epoch=0)]) for _ in range(10)])
    assert row().failures == 60


def test_the_first_row_is_made_once(patient: None) -> None:
    with stores(6) as many:
        at_once(many, lambda store: store.apply(KEY, [Failed(epoch=0)]))
    assert row().state == Phase.OPEN, "the fifth failure opens it, the sixth is late"
    assert row().failures == 5
    assert CircuitTransition.objects.count() == 1


def test_one_of_many_gets_the_probe(patient: None) -> None:
    with stores(6) as many:
        for _ in range(5):
            store_open()
            decisions = at_once(many, decide)
            assert [each.probe for each in decisions if isinstance(each, Allowed)] == [True]
            TenantCircuit.objects.all().delete()


def test_a_move_and_its_history_stand_or_fall_together() -> None:
    with stores(1) as (store,), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE circuits_transitions ADD CONSTRAINT ck_refuse CHECK (to_state <> 'open')")
        try:
            with pytest.raises(StoreUnavailable):
                store.apply(KEY, [Failed(epoch=0)] * 5)
        finally:
            cursor.execute("ALTER TABLE circuits_transitions DROP CONSTRAINT ck_refuse")
    assert not TenantCircuit.objects.exists()


def test_nothing_is_written_if_nothing_changes() -> None:
    store_open(override=Override.FORCED_OPEN.value)
    with stores(1) as (store,):
        for event in (Acquire(), Succeeded(epoch=7), Failed(epoch=7), Released(epoch=7), Failed(epoch=6)):
            store.apply(KEY, [event])
    assert row().revision == 0


def test_all_of_a_state_is_kept() -> None:
    with stores(2) as (store, other):
        force = Force(override=Override.FORCED_OPEN, by="ann", reason='it\'s "moved" \\ 100%', until=None)
        written, _ = store.apply(KEY, [Failed(epoch=0), Failed(epoch=0), force])
        assert other.read(KEY).state == written.state
        assert row().as_state() == written.state
    assert CircuitTransition.objects.get().reason == force.reason


def test_the_callers_transaction_plays_no_part() -> None:
    with stores(1) as (store,), pytest.raises(RuntimeError), transaction.atomic():
        TenantCircuit.objects.create(tenant_id="globex", name="memory")
        store.apply(KEY, [Failed(epoch=0)])
        raise RuntimeError
    assert row().tenant_id == "acme"


def test_a_row_that_is_held_is_waited_for_briefly(settings: Settings) -> None:
    settings.CIRCUITS_LOCK_TIMEOUT = 0.05
    with stores(1) as (store,):
        store.apply(KEY, [Failed(epoch=0)])
        with transaction.atomic():
            TenantCircuit.objects.select_for_update().get()
            with pytest.raises(StoreUnavailable, match="holds the circuit's row"):
                store.apply(KEY, [Failed(epoch=0)])
        store.apply(KEY, [Failed(epoch=0)])
    assert row().failures == 2


def test_a_statement_that_hangs_is_given_up(settings: Settings) -> None:
    settings.CIRCUITS_LOCK_TIMEOUT = 60
    settings.CIRCUITS_STATEMENT_TIMEOUT = 0.05
    with stores(1) as (store,), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE circuits_tenant_circuits")
        with pytest.raises(StoreUnavailable):
            store.read(KEY)


def test_a_session_that_was_cut_is_made_again() -> None:
    with stores(1) as (store,):
        store.read(KEY)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'circuits outcomes' AND datname = current_database()"
            )
        assert store.read(KEY).revision is None


class TestOutage:
    @pytest.fixture
    def out(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What was tried while the database is out."""
        tried: list[str] = []

        def refuse(name: str) -> None:
            tried.append(name)
            raise psycopg.OperationalError("connection refused\n\tIs the server running?")

        monkeypatch.setattr(session, "connect", refuse)
        return tried

    def test_it_is_told_once_and_not_tried_at_every_call(
        self, out: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(session, "_FIRST_PAUSE_SECONDS", 60.0)
        with stores(1) as (store,):
            for _ in range(10):
                with pytest.raises(StoreUnavailable):
                    store.read(KEY)
        assert out == ["outcomes"]
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.message.endswith("calls go on unguarded: connection refused Is the server running?")

    def test_it_is_tried_again_after_longer_and_longer_pauses(
        self, out: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [1_000.0]
        monkeypatch.setattr("circuits.session.time.monotonic", lambda: now[0])
        session, tried_at = Session(), list[float]()
        for _ in range(1_000):
            before = len(out)
            with pytest.raises(StoreUnavailable):
                session.query("SELECT 1", {})
            if len(out) > before:
                tried_at.append(now[0] - 1_000)
            now[0] += 0.1
        assert [round(each) for each in tried_at] == [0, 1, 3, 7, 15, 31, 61, 91]

    def test_who_reaches_it_first_tells_the_others(
        self, out: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        session = Session()
        with pytest.raises(StoreUnavailable):
            session.query("SELECT 1", {})
        monkeypatch.undo()
        session.end_pause()
        assert session.query("SELECT 1", {}) == [(1,)]
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        session.close()
