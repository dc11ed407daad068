from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest
from pytest_django import Settings

from circuits.sessions import Session, open_session
from outbox import counting, sql
from outbox.counting import CLAIM_SECONDS, claim, count
from tests.outbox.relay.conftest import Tables


@pytest.fixture
def session(tables: Tables) -> Iterator[Session]:
    with open_session("default", name="test") as opened:
        yield opened


def due(tables: Tables) -> None:
    """Time passes: the next count is due, and a claim has run out."""
    tables.execute("UPDATE outbox_backlog_counts SET next_at = '2001-01-01'")


def counted(tables: Tables, session: Session) -> dict[str, int]:
    """Pending events by tenant, after a count."""
    due(tables)
    token = claim(session)
    assert token is not None
    assert count(session, token=token)
    return stored(tables)


def stored(tables: Tables) -> dict[str, int]:
    return {row["tenant_id"]: row["pending"] for row in tables.execute("SELECT * FROM outbox_tenant_backlogs")}


def versions(tables: Tables) -> dict[str, str]:
    """Changes whenever a row is written or locked."""
    rows = tables.execute("SELECT tenant_id, ctid::text || xmin::text || xmax::text AS v FROM outbox_tenant_backlogs")
    return {row["tenant_id"]: row["v"] for row in rows}


def seconds_until_next(tables: Tables) -> float:
    return float(tables.one("SELECT extract(epoch FROM next_at - clock_timestamp()) FROM outbox_backlog_counts"))


# Who counts


def test_one_of_several_gets_the_claim(tables: Tables, session: Session) -> None:
    assert claim(session) is not None
    with open_session("default", name="another") as another:
        assert claim(another) is None


def test_several_that_ask_at_the_same_moment_get_one_claim(tables: Tables) -> None:
    due(tables)
    start, tokens = threading.Barrier(4), []

    def ask() -> None:
        with open_session("default", name="another") as session:
            start.wait()
            tokens.append(claim(session))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([token for token in tokens if token is not None]) == 1


def test_a_claim_that_was_not_due_writes_nothing(tables: Tables, session: Session) -> None:
    claim(session)
    before = tables.one("SELECT ctid::text || xmin::text || xmax::text FROM outbox_backlog_counts")
    assert claim(session) is None
    assert tables.one("SELECT ctid::text || xmin::text || xmax::text FROM outbox_backlog_counts") == before


def test_who_died_while_counting_is_followed_by_another_within_seconds(tables: Tables, session: Session) -> None:
    with open_session("default", name="dies") as dying:
        assert claim(dying) is not None
    assert 0 < seconds_until_next(tables) <= CLAIM_SECONDS
    assert claim(session) is None
    due(tables)
    assert claim(session) is not None


def test_who_stood_still_does_not_write_over_its_successor(tables: Tables, session: Session) -> None:
    tables.add("k")
    late = claim(session)
    assert late is not None
    tables.add("k")
    assert counted(tables, session) == {"acme": 2}
    tables.execute("DELETE FROM outbox_events")
    assert not count(session, token=late)
    assert stored(tables) == {"acme": 2}


def test_a_long_count_keeps_its_claim(tables: Tables, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "CHUNK_EVENTS", 2)
    tables.add(*"abcdefghij")
    token = claim(session)
    assert token is not None
    tables.execute("UPDATE outbox_backlog_counts SET next_at = clock_timestamp()")
    moments = iter(range(0, 10_000, 2))
    left: list[float] = []
    count(session, token=token, rest=lambda took: left.append(seconds_until_next(tables)), clock=lambda: next(moments))
    assert len(left) == 5
    assert left[0] <= 0
    assert all(0 < each <= CLAIM_SECONDS for each in left[1:])


def test_a_count_whose_claim_was_taken_ends_in_the_middle(
    tables: Tables, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "CHUNK_EVENTS", 2)
    tables.add(*"abcdef")
    token = claim(session)
    assert token is not None
    rests = []

    def rest(took: float) -> None:
        rests.append(took)
        tables.execute("UPDATE outbox_backlog_counts SET token = token + 1")

    moments = iter(range(0, 10_000, 2))
    assert not count(session, token=token, rest=rest, clock=lambda: next(moments))
    assert len(rests) == 1
    assert stored(tables) == {}


def test_a_count_that_is_stopped_is_left_to_others_at_once(
    tables: Tables, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "CHUNK_EVENTS", 2)
    tables.add(*"abcdef")
    token = claim(session)
    assert token is not None
    assert not count(session, token=token, rest=lambda took: True)
    assert claim(session) is not None


# What is counted


def test_every_event_is_counted_once_however_the_chunks_fall(
    tables: Tables, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of one moment, of which a chunk may hold some only."""
    for tenant, events in (("a", 1), ("b", 7), ("c", 3)):
        tables.add(*["k"] * events, tenant=tenant, created_at="2024-05-01")
        tables.add("k", "k", tenant=tenant)
    tables.add("k", status="sent")
    for chunk in (1, 2, 3, 5, 100):
        monkeypatch.setattr(counting, "CHUNK_EVENTS", chunk)
        assert counted(tables, session) == {"a": 3, "b": 9, "c": 5}
        tables.execute("DELETE FROM outbox_tenant_backlogs")


def test_only_rows_that_have_changed_are_written(tables: Tables, session: Session) -> None:
    tables.add("k", tenant="still")
    tables.add("k", tenant="moves")
    counted(tables, session)
    before = versions(tables)
    tables.add("k", tenant="moves")
    counted(tables, session)
    after = versions(tables)
    assert after["still"] == before["still"]
    assert after["moves"] != before["moves"]


def test_a_tenant_that_has_nothing_left_has_no_row(tables: Tables, session: Session) -> None:
    tables.add("k", tenant="done")
    (dead,) = tables.add("k", tenant="dead", status="failed")
    assert counted(tables, session) == {"done": 1, "dead": 0}
    tables.execute("UPDATE outbox_events SET status = 'sent' WHERE id <> %(dead)s", dead=dead)
    assert counted(tables, session) == {"dead": 0}


def test_the_next_count_is_due_after_the_pause_of_the_setting(
    tables: Tables, session: Session, settings: Settings
) -> None:
    settings.OUTBOX_BACKLOG_SECONDS = 3_000
    counted(tables, session)
    assert 2_900 < seconds_until_next(tables) <= 3_000


def test_a_slow_count_is_made_rarely(tables: Tables, session: Session) -> None:
    tables.add("k")
    due(tables)
    token = claim(session)
    assert token is not None
    moments = iter(range(0, 10_000, 100))
    count(session, token=token, clock=lambda: next(moments))
    assert seconds_until_next(tables) > 10 * 3 * 100 - 60


def test_a_count_that_fails_is_followed_by_a_pause_and_leaves_the_last_one(
    tables: Tables, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.add("k")
    counted(tables, session)
    due(tables)
    token = claim(session)
    assert token is not None
    monkeypatch.setattr(counting, "STATEMENT_SECONDS", 0.05)
    with monkeypatch.context() as patch, pytest.raises(psycopg.errors.QueryCanceled):
        load = sql.load
        slow = "SELECT pg_sleep(60), %(status)s, %(tenant)s, %(at)s, %(limit)s"
        patch.setattr(sql, "load", lambda name: slow if name == "count_events" else load(name))
        count(session, token=token)
    assert stored(tables) == {"acme": 1}
    assert 0 < seconds_until_next(tables) <= 60
    assert claim(session) is None


def test_a_session_that_breaks_leaves_the_claim_to_run_out(tables: Tables, session: Session) -> None:
    token = claim(session)
    assert token is not None
    tables.execute("SELECT pg_terminate_backend(%(pid)s)", pid=session.info.backend_pid)
    with pytest.raises(psycopg.OperationalError):
        count(session, token=token)
    assert 0 < seconds_until_next(tables) <= CLAIM_SECONDS


# What the charts get


def test_a_count_says_what_waits_in_its_minute(tables: Tables, session: Session) -> None:
    tables.add("k", "k")
    tables.add("k", status="scheduled", available_at="2100-01-01")
    tables.add("k", tenant="dead", status="failed")
    counted(tables, session)
    rows = tables.execute("SELECT tenant_id, waiting FROM outbox_minutes WHERE step = 1")
    assert {row["tenant_id"]: row["waiting"] for row in rows} == {"acme": 3, "*": 3}


def test_a_count_deletes_minutes_that_are_over(tables: Tables, session: Session) -> None:
    tables.execute("INSERT INTO outbox_minutes (tenant_id, minute, latency) VALUES ('old', '2026-01-01', '{}')")
    counted(tables, session)
    assert tables.one("SELECT count(*) FROM outbox_minutes WHERE tenant_id = 'old'") == 0


def test_a_count_stands_though_the_minute_cannot_be_written(
    tables: Tables, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.add("k")
    counted(tables, session)
    tables.add("k")
    add = counting._Counter._add_to_series

    def add_impatiently(counter: counting._Counter, taken_at: datetime | None) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(counting, "STATEMENT_SECONDS", 0.1)
            add(counter, taken_at)

    monkeypatch.setattr(counting._Counter, "_add_to_series", add_impatiently)
    with open_session("default", name="holds") as holding, holding.transaction():
        holding.execute("LOCK TABLE outbox_minutes IN ACCESS EXCLUSIVE MODE")
        assert counted(tables, session) == {"acme": 2}
