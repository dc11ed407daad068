"""Late commits: the rules one by one, a model of transactions and holders, and real transactions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox import sql
from outbox.relay import late
from outbox.relay.fetch import fetch
from outbox.relay.lanes import CREATED, ID, PARTITION_KEY, PAYLOAD, Lane, Row
from outbox.relay.late import LookedBehind, Lookout, Sample, Writer, sample
from outbox.relay.session import Connection, connect, query
from tests.outbox.relay.conftest import Tables, another_session, insert_event, lane
from tests.outbox.relay.relay_model import STEPS, Step, World
from tests.support.sessions import wait_until_somebody_waits_for_a_lock

SECOND_US = 1_000_000
T = 1_000 * SECOND_US


def at(db_now: int, *writers: Writer, before: Sample | None = None) -> Sample:
    return sample([("", db_now, False), *writers], at=0.0, before=before)


def writing(session: int, since: int) -> Writer:
    return (f"{session}/9{session}", since, False)


def about_to(session: int, since: int) -> Writer:
    """A statement that runs and has no transaction id yet."""
    return (f"~{session}", since, False)


PREPARED: Writer = ("prepared/x", None, False)
HIDDEN: Writer = ("hidden", None, True)


# Samples


def test_without_writers_whatever_was_created_before_now_is_visible() -> None:
    assert at(T).safe == T


def test_an_open_transaction_may_still_show_what_it_created_since_it_began() -> None:
    assert at(T, writing(1, T - 60 * SECOND_US), writing(2, T - SECOND_US)).safe == T - 60 * SECOND_US


def test_what_begins_and_ends_between_two_samples_was_created_after_the_first() -> None:
    assert at(T + SECOND_US).look_from(at(T)) == T


def test_a_transaction_that_stays_open_costs_nothing_until_it_ends() -> None:
    before = at(T, writing(1, T - 5))
    for second in range(1, 300):
        now = at(T + second * SECOND_US, writing(1, T - 5), before=before)
        assert now.look_from(before) == before.db_now
        before = now
    assert at(T + 300 * SECOND_US, before=before).look_from(before) == T - 5


def test_a_transaction_that_had_written_nothing_until_now_began_to_write_since() -> None:
    """A report that reads for an hour and then writes one row makes nobody look back for an hour."""
    before = at(T)
    assert at(T + SECOND_US, writing(1, T - 3_600 * SECOND_US), before=before).safe == T


def test_a_statement_that_only_reads_holds_no_floor_back() -> None:
    before = at(T, about_to(3, T - SECOND_US))
    for second in range(1, 300):
        now = at(T + second * SECOND_US, about_to(3, T + (second - 1) * SECOND_US), before=before)
        assert now.safe == now.db_now - SECOND_US
        before = now
    assert at(T + 300 * SECOND_US, before=before).look_from(before) >= T + 298 * SECOND_US


def test_a_statement_that_seems_to_run_may_have_committed() -> None:
    """It is shown as active a moment longer than its transaction lives."""
    before = at(T, about_to(1, T - 5))
    assert at(T + SECOND_US, about_to(1, T - 5), before=before).look_from(before) == T - 5


def test_a_transaction_ends_when_its_id_does_though_its_session_goes_on() -> None:
    before = at(T, writing(1, T - 5))
    assert at(T + SECOND_US, about_to(1, T), before=before).look_from(before) == T - 5


def test_what_a_statement_created_before_it_got_its_id_is_not_forgotten() -> None:
    before = at(T, about_to(1, T - 9))
    now = at(T + SECOND_US, writing(1, T - 100 * SECOND_US), before=before)
    assert now.safe == T - 9
    assert at(T + 2 * SECOND_US, before=now).look_from(now) == T - 9


def test_a_prepared_transaction_began_when_a_session_of_before_did() -> None:
    before = at(T, writing(1, T - 7), writing(2, T - 5))
    now = at(T + SECOND_US, writing(2, T - 5), PREPARED, before=before)
    assert now.safe == T - 7
    later = at(T + 2 * SECOND_US, PREPARED, before=now)
    assert later.safe == T - 7
    assert at(T + 3 * SECOND_US, before=later).look_from(later) == T - 7


def test_a_prepared_transaction_from_before_the_relay_may_have_begun_at_any_time() -> None:
    assert at(T, PREPARED).safe == 0


def test_a_prepared_transaction_may_be_the_last_statement_of_a_session_that_runs_another() -> None:
    before = at(T, about_to(1, T - 7))
    assert at(T + SECOND_US, about_to(1, T + SECOND_US), PREPARED, before=before).safe == T - 7


def test_where_sessions_are_hidden_nothing_is_safe() -> None:
    before = at(T, HIDDEN)
    assert (before.blind, before.safe) == (True, 0)
    assert at(T + SECOND_US, HIDDEN, before=before).look_from(before) == T - late.BLIND_US


def test_times_near_the_epoch_are_no_trouble() -> None:
    assert at(5, HIDDEN).look_from(at(0)) == 0


def test_where_sessions_are_hidden_lanes_are_read_from_their_beginning_on_a_slow_rhythm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lookout = blind(monkeypatch, HIDDEN)
    began = lookout.latest.at
    looks = [lookout.must_read_all(began + second) for second in range(int(3.5 * late.BLIND_SECONDS))]
    assert sum(looks) == 3
    assert not any(looks[: int(late.BLIND_SECONDS)])
    assert not blind(monkeypatch).must_read_all(began + 99.0)


def blind(monkeypatch: pytest.MonkeyPatch, *writers: Writer) -> Lookout:
    monkeypatch.setattr(late, "query", lambda connection, statement: [("", T, False), *writers])
    return Lookout(None)  # type: ignore[arg-type]


# A model of all that can happen to one lane


OFTEN = [step for step, times in STEPS.items() for _ in range(times)]


@given(st.lists(st.tuples(st.sampled_from(OFTEN), st.integers(0, 59)), min_size=40, max_size=160))
@settings(max_examples=150)
def test_whatever_is_committed_is_published_in_order_however_late_it_appears(script: list[tuple[Step, int]]) -> None:
    """Also when relays die at any moment: nothing twice without a reason, and the next holder misses nothing."""
    with override_settings(OUTBOX_KAFKA_CONFIG={"bootstrap.servers": "model"}, OUTBOX_MAX_ATTEMPTS=3):
        World().run(script)


# Real transactions


def keys(rows: list[Row]) -> list[str]:
    return [row[PARTITION_KEY] for row in rows]


def test_an_event_that_commits_late_goes_before_what_was_fetched(tables: Tables, session: Connection) -> None:
    lookout = Lookout(session)
    held = lane(tenant="acme")
    held.has_looked(lookout.latest)
    with another_session() as writer, writer.transaction():
        insert_event(writer, "acme", "news", "late", {})
        lookout.refresh(float("inf"))
        held.has_looked(lookout.latest)
        tables.add("ahead")
        (rows,) = (rows for _, rows in fetch(session, [held], [10]))
        (batch,) = lookout.add_late([(held, rows)])
        assert (keys(batch.behind), keys(batch.rows)) == ([], ["ahead"])
        held.has_looked(lookout.latest)
        held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
        held.chunks.append(rows)
    (batch,) = lookout.add_late([(held, [])])
    assert keys(batch.behind) == ["late"]
    assert batch.sample is lookout.latest


def test_an_event_that_commits_after_the_fetch_takes_its_place_among_the_rows(
    tables: Tables, session: Connection
) -> None:
    lookout = Lookout(session)
    held = lane(tenant="acme")
    held.has_looked(lookout.latest)
    tables.add("first")
    with another_session() as writer, writer.transaction():
        insert_event(writer, "acme", "news", "late", {})
        tables.add("last")
        (rows,) = (rows for _, rows in fetch(session, [held], [10]))
    (batch,) = lookout.add_late([(held, rows)])
    assert (keys(batch.behind), keys(batch.rows)) == ([], ["first", "late", "last"])


def test_a_transaction_that_commits_during_a_look_is_found_as_a_whole(
    tables: Tables, session: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look goes back to the last sample, and the transaction's first event is older."""
    lookout, held = Lookout(session), lane()
    with another_session() as writer:
        writer.execute("BEGIN")
        first = insert_event(writer, "acme", "news", "k", {})
        lookout.refresh(float("inf"))
        held.has_looked(lookout.latest)
        second = insert_event(writer, "acme", "news", "k", {})
        held.cursor = 2**62

        def commit_before_the_look(connection: Connection, statement: Any, params: Any = None) -> Any:
            if statement == sql.load("look_behind"):
                writer.commit()
            return query(connection, statement, params)

        monkeypatch.setattr(late, "query", commit_before_the_look)
        (batch,) = lookout.add_late([(held, [])])
    assert [row[ID] for row in batch.behind] == [first, second]
    assert batch.sample is lookout.latest


def test_a_backlog_is_read_without_a_look(session: Connection) -> None:
    lookout = Lookout(session)
    held = lane(tenant="acme")
    before = lookout.latest
    held.has_looked(before)
    old: Row = (1, 7, "news", "", "", "{}", 1, 0, None, 2)
    assert lookout.add_late([(held, [old])]) == [LookedBehind(held, [], [old], None)]
    assert lookout.latest is before


def test_a_transaction_is_a_writer_from_its_first_row_to_its_end(tables: Tables, session: Connection) -> None:
    lookout = Lookout(session)
    with another_session() as writer, writer.transaction():
        before = writer.execute("SELECT clock_timestamp()").fetchone()
        lookout.refresh(float("inf"))
        assert lookout.latest.writers == {}
        insert_event(writer, "acme", "news", "k", {})
        lookout.refresh(float("inf"))
        (since,) = lookout.latest.writers.values()
        assert before is not None
        assert microseconds(before[0]) <= lookout.latest.safe == since <= microseconds(before[0]) + 60 * SECOND_US
    lookout.refresh(float("inf"))
    assert lookout.latest.writers == {}


def test_a_savepoint_does_not_hide_its_transaction(tables: Tables, session: Connection) -> None:
    lookout = Lookout(session)
    with another_session() as writer, writer.transaction(), writer.transaction():
        insert_event(writer, "acme", "news", "k", {})
        lookout.refresh(float("inf"))
        assert len(lookout.latest.writers) == 1


def test_relays_themselves_are_no_writers(tables: Tables, session: Connection) -> None:
    lookout = Lookout(session)
    with connect("settle") as settler, settler.transaction():
        settler.execute("INSERT INTO outbox_lanes (tenant_id) VALUES ('acme')")
        lookout.refresh(float("inf"))
        assert lookout.latest.writers == {}


def test_an_event_that_waited_for_a_duplicate_is_found(tables: Tables, session: Connection) -> None:
    """ON CONFLICT waits for the other transaction after `created_at` was taken and before it gets an id of its own."""
    lookout, held = Lookout(session), lane()
    held.has_looked(lookout.latest)
    with another_session() as first, another_session() as second, ThreadPoolExecutor(1) as thread:
        first.execute("BEGIN")
        insert_event(first, "acme", "news", "k", {"dedupe_key": "same"})
        statement = (
            "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload) VALUES ('acme', 'news', 'same', '{}')"
            " ON CONFLICT (tenant_id, dedupe_key) DO NOTHING"
        )
        second.execute("BEGIN")
        waiting = thread.submit(second.execute, statement)
        wait_until_somebody_waits_for_a_lock()
        tables.execute("SELECT pg_sleep(1.1)")
        tables.add("ahead")
        (rows,) = (rows for _, rows in fetch(session, [held], [10]))
        lookout.add_late([(held, rows)])
        held.has_looked(lookout.latest)
        held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
        held.chunks.append(rows)
        first.execute("ROLLBACK")
        waiting.result(30)
        look_behind(lookout, held)
        second.execute("COMMIT")
    assert len(look_behind(lookout, held)) == 1


def look_behind(lookout: Lookout, held: Lane) -> list[Row]:
    (batch,) = lookout.add_late([(held, [])])
    assert batch.sample is not None
    held.has_looked(batch.sample)
    return batch.behind


def test_too_many_late_events_are_read_again_in_order(
    tables: Tables, session: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late, "MOST_BEHIND", 3)
    lookout, held = Lookout(session), lane()
    with another_session() as writer, writer.transaction():
        for key in "abcde":
            insert_event(writer, "acme", "news", key, {})
        lookout.refresh(float("inf"))
        held.has_looked(lookout.latest)
        tables.add("ahead")
        (rows,) = (rows for _, rows in fetch(session, [held], [10]))
        held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
        held.chunks.append(rows)
    since = lookout.latest.safe
    lookout.add_late([(held, [])])
    assert held.rewind_to == since


@pytest.mark.parametrize(
    ("limit", "most", "taken"), [("MOST_BEHIND", 4, {"a"}), ("MOST_LATE", 3, {"a", "c"}), ("MOST_LATE", 1, {"c"})]
)
def test_late_events_are_bounded_in_all_lanes_together(
    tables: Tables, session: Connection, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, taken: set[str]
) -> None:
    """However many a transaction with many tenants commits: what finds no place is read in order, not into memory."""
    monkeypatch.setattr(late, limit, most)
    lookout, held = Lookout(session), [lane(tenant, cursor=2**62) for tenant in "abc"]
    for each in held:
        each.has_looked(lookout.latest)
    for tenant, events in (("a", 2), ("b", 2), ("c", 1)):
        tables.add(*[f"key-{number}" for number in range(events)], tenant=tenant)
    looked = lookout.add_late([(each, []) for each in held])
    assert {batch.lane.tenant for batch in looked if batch.behind} == taken
    assert {each.tenant for each in held if each.rewind_to is not None} == set("abc") - taken
    assert all(len(batch.behind) <= 2 for batch in looked)


def test_a_late_event_whose_key_waits_for_a_retry_is_left_alone(tables: Tables, session: Connection) -> None:
    tables.add("k", status="scheduled", attempts=1, available_at="2100-01-01")
    lookout, held = Lookout(session), lane(blocked=True)
    held.has_looked(lookout.latest)
    tables.add("k", "free")
    held.cursor = 2**62
    (batch,) = lookout.add_late([(held, [])])
    assert keys(batch.behind) == ["free"]


def test_a_late_large_event_comes_without_its_payload(tables: Tables, session: Connection) -> None:
    lookout, held = Lookout(session), lane(cursor=2**62)
    held.has_looked(lookout.latest)
    tables.add("small")
    tables.add("large", payload="x" * 20_000)
    (batch,) = lookout.add_late([(held, [])])
    assert [row[PAYLOAD] is None for row in batch.behind] == [False, True]


def microseconds(moment: datetime) -> int:
    return round((moment.timestamp() - 946_684_800) * 1e6)
