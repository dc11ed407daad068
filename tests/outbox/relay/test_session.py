from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from outbox.relay import session as sessions
from outbox.relay.session import (
    PG_EPOCH_UNIX_US,
    Connection,
    array,
    connect,
    cut_off,
    hold_identity,
    lock_key,
    numbers,
    query,
)
from tests.outbox.relay.conftest import Tables
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synchronous_commit", "off"),
        ("enable_seqscan", "off"),
        ("plan_cache_mode", "force_custom_plan"),
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("default_transaction_isolation", "read committed"),
        ("application_name", "outbox-relay test"),
    ],
)
def test_sessions_are_set_up_whatever_the_databases_defaults(session: Connection, name: str, value: str) -> None:
    assert query(session, f"SHOW {name}") == [(value,)]


def test_every_statement_commits(session: Connection, tables: Tables) -> None:
    query(session, "INSERT INTO outbox_lanes (tenant_id) VALUES ('acme')")
    assert tables.lane()


def test_times_come_as_microseconds_since_2000(session: Connection) -> None:
    ((found,),) = query(session, "SELECT timestamptz '2020-02-02 02:02:02.000002+00'")
    moment = datetime(2020, 2, 2, 2, 2, 2, 2, tzinfo=UTC)
    assert found + PG_EPOCH_UNIX_US == round(moment.timestamp() * 1e6)


def test_a_statement_without_a_result_gives_no_rows(session: Connection) -> None:
    assert query(session, "SET jit = off") == []


def test_statements_are_prepared_unless_a_pooler_may_change_the_session(settings: Settings, tables: Tables) -> None:
    settings.OUTBOX_SESSION_TAKEOVER = False
    with connect("pooled") as pooled:
        assert pooled.prepare_threshold is None
    settings.OUTBOX_SESSION_TAKEOVER = True
    with connect("own") as own:
        assert own.prepare_threshold == 0


# Identity


def test_a_relays_lock_is_held_as_long_as_its_session_lives(session: Connection, tables: Tables) -> None:
    relay_id = uuid.uuid4()
    asked = {"key": lock_key(relay_id)}
    hold_identity(session, relay_id)
    assert tables.one("SELECT pg_try_advisory_lock(%(key)s)", **asked) is False
    session.close()
    wait_until(lambda: tables.one("SELECT pg_try_advisory_lock(%(key)s)", **asked))
    tables.execute("SELECT pg_advisory_unlock(%(key)s)", **asked)


def test_behind_a_pooler_no_lock_is_taken(session: Connection, tables: Tables, settings: Settings) -> None:
    settings.OUTBOX_SESSION_TAKEOVER = False
    relay_id = uuid.uuid4()
    hold_identity(session, relay_id)
    held = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert tables.one(held) == 0


@given(st.uuids())
def test_a_lock_key_is_a_bigint(relay_id: uuid.UUID) -> None:
    assert -(2**63) <= lock_key(relay_id) < 2**63


# Letting go


@pytest.mark.parametrize("statements", [1, 2], ids=["in one", "in one after another"])
def test_a_thread_inside_a_statement_is_cut_off(
    session: Connection, tables: Tables, monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    """Also if it is in a statement again by then, as it is where the first cancel came too early to matter."""
    monkeypatch.setattr(sessions, "CANCEL_SECONDS", 0.1)
    monkeypatch.setattr(sessions, "CANCELS", 600)
    ended: list[type[BaseException]] = []

    def sleep() -> None:
        for _ in range(statements):
            try:
                query(session, "SELECT pg_sleep(60)")
            except psycopg.Error as error:
                ended.append(type(error))

    thread = threading.Thread(target=sleep, daemon=True)
    thread.start()
    wait_until(lambda: is_asleep(tables, session))
    cut_off(session, thread)
    assert not thread.is_alive()
    assert ended == [psycopg.errors.QueryCanceled] * statements
    assert session.closed


def is_asleep(tables: Tables, session: Connection) -> bool:
    waits = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %(pid)s"
    return bool(tables.one(waits, pid=session.info.backend_pid))


def test_a_thread_that_never_began_does_not_matter(session: Connection) -> None:
    cut_off(session, threading.Thread())
    assert session.closed


def test_a_dead_session_is_let_go(session: Connection, tables: Tables) -> None:
    tables.execute("SELECT pg_terminate_backend(%(pid)s)", pid=session.info.backend_pid)
    cut_off(session, threading.Thread())
    assert session.closed


# Arrays as text


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_numbers_are_an_array(values: list[int]) -> None:
    assert numbers(values).replace(" ", "") == array(values)


def test_arrays_may_hold_nulls_and_any_float(session: Connection) -> None:
    values = [None, 1, -2.5, 1e300, 1e-300]
    ((found,),) = query(session, "SELECT %(v)s::float8[]", {"v": array(values)})
    assert found == values
    assert query(session, "SELECT %(v)s::bigint[]", {"v": numbers([])}) == [([],)]
