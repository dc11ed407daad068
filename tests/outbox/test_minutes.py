"""Who writes the minutes, beside and after one another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from circuits.names import OTHER_TENANTS
from circuits.sessions import Session, open_session
from outbox import minutes
from outbox.minutes import Counts
from tests.outbox.relay.conftest import Tables

MINUTE = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
NUMBER = (MINUTE - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(minutes=1)


@pytest.fixture
def session(tables: Tables) -> Iterator[Session]:
    with open_session("default", name="test") as opened:
        yield opened


def stored(tables: Tables, column: str) -> dict[str, Any]:
    rows = tables.execute("SELECT * FROM outbox_minutes WHERE step = 1 AND minute = %(minute)s", minute=MINUTE)
    return {row["tenant_id"]: row[column] for row in rows}


def waiting(session: Session, *, at: datetime = MINUTE, **tenants: int) -> None:
    minutes.write_waiting(session, taken_at=at, waiting=tenants.items())


# Counts


def test_what_is_added_is_added_for_all_together_as_well(tables: Tables, session: Session) -> None:
    minutes.add(
        session, {"a": Counts(sent=2, discarded=1), "b": Counts(sent=3, failed=1, failed_attempts=4)}, minute=NUMBER
    )
    assert stored(tables, "sent") == {"a": 2, "b": 3, "*": 5}
    assert stored(tables, "failed_attempts") == {"a": 0, "b": 4, "*": 4}
    assert stored(tables, "discarded") == {"a": 1, "b": 0, "*": 1}


def test_histograms_of_any_length_are_added_bucket_by_bucket(tables: Tables, session: Session) -> None:
    for latency in ([1, 2], [0, 5, 0, 7, 0, 0], [], [4]):
        minutes.add(session, {"a": Counts(sent=1, latency=latency)}, minute=NUMBER)
    assert stored(tables, "latency") == {"a": [5, 7, 0, 7], "*": [5, 7, 0, 7]}
    assert stored(tables, "sent") == {"a": 4, "*": 4}


def test_writers_at_the_same_time_add_up_and_do_not_wait_in_a_circle(tables: Tables) -> None:
    start, failures = threading.Barrier(4), list[BaseException]()
    names = [f"tenant-{n}" for n in range(20)]

    def write(order: list[str]) -> None:
        try:
            with open_session("default", name="writer") as session:
                start.wait()
                for _ in range(25):
                    minutes.add(session, {name: Counts(sent=1, latency=[1]) for name in order}, minute=NUMBER)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[order]) for order in (names, names[::-1], names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert stored(tables, "sent") == {**dict.fromkeys(names, 100), "*": 2_000}
    assert stored(tables, "latency")["*"] == [2_000]


def test_without_a_minute_it_is_the_present_one(tables: Tables, session: Session) -> None:
    minutes.add(session, {"a": Counts(replayed=1)})
    assert tables.one(
        "SELECT bool_and(minute > clock_timestamp() - interval '70 seconds' AND extract(second FROM minute) = 0)"
        " FROM outbox_minutes WHERE step = 1"
    )


def test_a_quarter_of_an_hour_has_the_sum_of_its_minutes(tables: Tables, session: Session) -> None:
    for number, sent in ((NUMBER, 1), (NUMBER + 14, 2), (NUMBER + 15, 4)):
        minutes.add(session, {"a": Counts(sent=sent, latency=[0, sent])}, minute=number)
    waiting(session, a=9)
    waiting(session, at=MINUTE + timedelta(minutes=3), a=5)
    rows = tables.execute("SELECT * FROM outbox_minutes WHERE step = 15 AND tenant_id = 'a' ORDER BY minute")
    assert [(row["minute"], row["sent"], row["latency"]) for row in rows] == [
        (MINUTE, 3, [0, 3]),
        (MINUTE + timedelta(minutes=15), 4, [0, 4]),
    ]
    assert [row["waiting"] for row in rows] == [5, None]


# What waits


def test_the_last_count_of_a_minute_stands(tables: Tables, session: Session) -> None:
    waiting(session, a=5, b=2)
    waiting(session, at=MINUTE + timedelta(seconds=40), a=3, c=1)
    assert stored(tables, "waiting") == {"a": 3, "b": 0, "c": 1, "*": 4}


def test_a_count_of_nothing_is_a_count(tables: Tables, session: Session) -> None:
    waiting(session)
    assert stored(tables, "waiting") == {"*": 0}


def test_a_tenant_that_was_not_counted_has_no_figure(tables: Tables, session: Session) -> None:
    minutes.add(session, {"a": Counts(sent=1)}, minute=NUMBER)
    waiting(session, b=1)
    assert stored(tables, "waiting") == {"a": None, "b": 1, "*": 1}
    assert stored(tables, "sent") == {"a": 1, "b": 0, "*": 1}


def test_tenants_with_least_waiting_share_a_row_when_there_are_too_many(
    tables: Tables, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minutes, "MOST_TENANTS", 2)
    waiting(session, a=5, b=9, c=1, d=2)
    assert stored(tables, "waiting") == {"a": 5, "b": 9, OTHER_TENANTS: 3, "*": 17}
    waiting(session, b=9, c=8, d=7)
    assert stored(tables, "waiting") == {"a": None, "b": 9, "c": 8, OTHER_TENANTS: 7, "*": 24}
    waiting(session, b=9)
    assert stored(tables, "waiting") == {"a": None, "b": 9, "c": 0, OTHER_TENANTS: 0, "*": 9}


def test_rows_that_have_not_changed_are_not_touched(tables: Tables, session: Session) -> None:
    waiting(session, a=5, b=1)
    before = stored_versions(tables)
    waiting(session, at=MINUTE + timedelta(seconds=5), a=5, b=2)
    after = stored_versions(tables)
    assert {name for name in after if after[name] != before[name]} == {"b", "*"}


def stored_versions(tables: Tables) -> dict[str, str]:
    rows = tables.execute(
        "SELECT tenant_id, ctid::text || xmin::text || xmax::text AS v FROM outbox_minutes WHERE step = 1"
    )
    return {row["tenant_id"]: row["v"] for row in rows}


# Pruning


def old(tables: Tables, hours: float, count: int = 1, *, step: int = 15) -> None:
    tables.execute(
        "INSERT INTO outbox_minutes (tenant_id, step, minute, latency)"
        " SELECT 'old-' || n || '-' || %(hours)s, %(step)s, clock_timestamp() - %(hours)s * interval '1 hour', '{}'"
        " FROM generate_series(1, %(count)s) n",
        hours=hours,
        step=step,
        count=count,
    )


def test_what_is_over_is_deleted_a_part_at_a_time(
    tables: Tables, session: Session, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOX_SERIES_HOURS = 2
    monkeypatch.setattr(minutes, "PRUNE_ROWS", 3)
    old(tables, 3, count=5)
    old(tables, 1)
    left = []
    for _ in range(3):
        minutes.prune(session)
        left.append(tables.one("SELECT count(*) FROM outbox_minutes"))
    assert left == [3, 1, 1]


def test_minutes_go_before_quarters(tables: Tables, session: Session) -> None:
    old(tables, minutes.MINUTES_HOURS + 1, step=1)
    old(tables, minutes.MINUTES_HOURS - 1, count=2, step=1)
    old(tables, 24, count=3)
    minutes.prune(session)
    assert tables.one("SELECT array_agg(step ORDER BY step) FROM outbox_minutes") == [1, 1, 15, 15, 15]


def test_a_row_that_somebody_writes_is_deleted_the_next_time(tables: Tables, session: Session) -> None:
    old(tables, 100, count=2)
    with open_session("default", name="other") as other, other.transaction():
        other.execute("UPDATE outbox_minutes SET sent = 1 WHERE tenant_id LIKE 'old-1%'")
        minutes.prune(session)
        assert tables.one("SELECT count(*) FROM outbox_minutes") == 1
    minutes.prune(session)
    assert tables.one("SELECT count(*) FROM outbox_minutes") == 0
