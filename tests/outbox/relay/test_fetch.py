from __future__ import annotations

import uuid
from typing import Any

import pytest
from pytest_django import Settings

from outbox import sql
from outbox.relay.fetch import GROUP_BYTES, INLINE_BYTES, fetch, go_back_for_retries, has_replays, large_payloads
from outbox.relay.lanes import ATTEMPTS, BYTES, CREATED, HEADERS, ID, PARTITION_KEY, PAYLOAD, Lane, Row
from outbox.relay.session import Connection, query
from outbox.relay.tenure import Tenure
from tests.outbox.relay.conftest import Tables, lane
from tests.outbox.relay.tenures import promote


def read(session: Connection, *lanes: Lane, quota: int = 100) -> dict[str, list[Row]]:
    return {of.tenant: rows for of, rows in fetch(session, list(lanes), [quota] * len(lanes))}


def ids(rows: list[Row]) -> list[int]:
    return [row[ID] for row in rows]


def waiting(rows: list[Row]) -> list[int]:
    return [row[ID] for row in rows if row[ATTEMPTS] < 0]


def careful(tenant: str = "acme") -> Lane:
    """A lane with keys in retry."""
    return lane(tenant, blocked=True)


@pytest.fixture(params=["plain", "careful"])
def held(request: pytest.FixtureRequest) -> Lane:
    return lane() if request.param == "plain" else careful()


# What every fetch does


def test_each_lane_gets_its_oldest_events_up_to_its_quota(session: Connection, tables: Tables) -> None:
    first = tables.add(*["a"] * 5, tenant="acme")
    second = tables.add(*["a"] * 2, tenant="zeta")
    found = fetch(session, [lane("zeta"), lane("none"), lane("acme")], [9, 9, 3])
    assert [(of.tenant, ids(rows)) for of, rows in found] == [("zeta", second), ("acme", first[:3])]


def test_plain_and_careful_lanes_are_read_in_one_round(session: Connection, tables: Tables) -> None:
    tables.add("a", tenant="acme")
    tables.add("a", tenant="zeta")
    assert read(session, lane("acme"), careful("zeta")).keys() == {"acme", "zeta"}


def test_an_event_comes_as_it_will_be_sent(session: Connection, tables: Tables, held: Lane) -> None:
    (event_id,) = tables.add("k", payload={"b": [1, 2.5], "a": "ü"}, headers={"source": "shop"})
    ((row,),) = read(session, held).values()
    stored = tables.event(event_id)
    assert row[2:5] == ("news", stored["dedupe_key"], "k")
    assert row[PAYLOAD] == '{"a": "ü", "b": [1, 2.5]}'
    assert row[BYTES] == len(row[PAYLOAD].encode())
    assert row[HEADERS] == '{"source": "shop"}'
    assert row[CREATED] == round((stored["created_at"].timestamp() - 946_684_800) * 1e6)


def test_no_headers_are_none(session: Connection, tables: Tables, held: Lane) -> None:
    tables.add("k")
    ((row,),) = read(session, held).values()
    assert row[HEADERS] is None


def test_reading_goes_on_past_the_cursor(session: Connection, tables: Tables, held: Lane) -> None:
    added = tables.add(*["a"] * 5)
    (rows,) = read(session, held, quota=2).values()
    held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
    (rest,) = read(session, held).values()
    assert ids(rows) + ids(rest) == added


def test_events_of_the_same_microsecond_are_told_apart(session: Connection, tables: Tables, held: Lane) -> None:
    added = tables.add(*["a"] * 4, created_at="2020-05-05 05:05:05.123456+00")
    (rows,) = read(session, held, quota=2).values()
    held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
    (rest,) = read(session, held).values()
    assert ids(rows) + ids(rest) == added
    held.cursor_id = 0
    assert ids(read(session, held)["acme"]) == added


@pytest.mark.parametrize("created", ["1970-01-01", "1999-12-31 23:59:59.999999", "2000-01-01", "2250-01-01"])
def test_a_cursor_holds_any_sensible_time_exactly(
    session: Connection, tables: Tables, held: Lane, created: str
) -> None:
    (event_id,) = tables.add("a", created_at=f"{created}+00")
    held.cursor = -(10**15)
    (rows,) = read(session, held).values()
    held.cursor, held.cursor_id = rows[0][CREATED], event_id - 1
    assert ids(read(session, held)["acme"]) == [event_id]
    held.cursor_id = event_id
    assert read(session, held) == {}


def test_only_pending_events_are_read(session: Connection, tables: Tables, held: Lane) -> None:
    for status in ("sent", "failed", "discarded"):
        tables.add("a", status=status)
    tables.add("b", status="scheduled", available_at="2100-01-01")
    (event_id,) = tables.add("c")
    assert ids(read(session, held)["acme"]) == [event_id]


# Keys in retry


def test_a_key_in_retry_blocks_its_successors(session: Connection, tables: Tables) -> None:
    tables.add("k", status="scheduled", attempts=1, available_at="2100-01-01")
    blocked = tables.add("k", "k")
    free = tables.add("other", "")
    rows = read(session, careful())["acme"]
    assert waiting(rows) == blocked
    assert ids(rows) == blocked + free
    assert [row[PAYLOAD] for row in rows[:2]] == [None, None]


def test_a_retry_blocks_nothing_that_comes_before_it(session: Connection, tables: Tables) -> None:
    """Of two failed events of a key the older one may become due first; and a replayed event may be older than both."""
    (older,) = tables.add("k")
    tables.add("k", status="scheduled", attempts=1, available_at="2100-01-01")
    newer = tables.add("k")
    rows = read(session, careful())["acme"]
    assert (ids(rows), waiting(rows)) == ([older, *newer], newer)


def test_a_key_in_retry_of_another_tenant_blocks_nobody(session: Connection, tables: Tables) -> None:
    tables.add("k", tenant="zeta", status="scheduled", attempts=1, available_at="2100-01-01")
    tables.add("k", tenant="acme")
    assert waiting(read(session, careful("acme"))["acme"]) == []


def test_a_delayed_event_blocks_nothing(session: Connection, tables: Tables) -> None:
    tables.add("k", status="scheduled", attempts=0, available_at="2100-01-01")
    tables.add("k")
    assert waiting(read(session, careful())["acme"]) == []


def test_an_event_without_a_key_blocks_nothing(session: Connection, tables: Tables) -> None:
    tables.add("", status="scheduled", attempts=3, available_at="2100-01-01")
    tables.add("", "")
    assert waiting(read(session, careful())["acme"]) == []


def test_a_dead_letter_frees_its_key(session: Connection, tables: Tables) -> None:
    tables.add("k", status="failed", attempts=20)
    tables.add("k")
    assert waiting(read(session, careful())["acme"]) == []


@pytest.mark.parametrize("held_plainly", [True, False])
def test_a_dead_letter_blocks_its_key_when_told_so(
    session: Connection, tables: Tables, settings: Settings, held_plainly: bool
) -> None:
    settings.OUTBOX_DEAD_LETTER_BLOCKS_KEY = True
    before = tables.add("k")
    tables.add("k", "", status="failed", attempts=20)
    after = tables.add("k")
    tables.add("other", "")
    assert waiting(read(session, lane() if held_plainly else careful())["acme"]) == after
    assert before


def test_the_backlog_of_a_waiting_key_is_walked_once(session: Connection, tables: Tables) -> None:
    tables.add("k", status="scheduled", attempts=1, available_at="2100-01-01")
    tables.add(*["k"] * 50)
    held = careful()
    rows = read(session, held, quota=40)["acme"]
    assert len(rows) == 40
    held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
    rows = read(session, held, quota=40)["acme"]
    assert len(rows) == 10
    held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
    add_many_that_were_sent(tables)
    # The entry of the cursor itself.
    assert rows_read(session, "fetch_careful", held) <= 1


@pytest.mark.parametrize("name", ["fetch", "fetch_careful"])
def test_a_fetch_reads_nothing_that_was_sent(session: Connection, tables: Tables, name: str) -> None:
    tables.add("k")
    add_many_that_were_sent(tables)
    assert rows_read(session, name, lane()) == 1


def add_many_that_were_sent(tables: Tables) -> None:
    """And statistics that know of them: those of the tests before would be as good as chance."""
    tables.execute(
        "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload, status)"
        " SELECT 'acme', 'news', gen_random_uuid()::text, '{}', 'sent' FROM generate_series(1, 5000)"
    )
    tables.execute("ANALYZE outbox_events")


def rows_read(session: Connection, name: str, held: Lane) -> float:
    """Events that one fetch for the lane looks at."""
    (explained,) = query(
        session,
        "EXPLAIN (ANALYZE, FORMAT JSON) " + sql.load(name),
        {
            "inline": INLINE_BYTES,
            "tenants": [held.tenant],
            "after_us": [held.cursor],
            "after_id": [held.cursor_id],
            "quotas": [40],
            "dead_letters_block": False,
        },
    )
    return rows_of_events(explained[0][0]["Plan"])


def rows_of_events(node: dict[str, Any]) -> float:
    mine = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) if "Relation Name" in node else 0
    return float(mine) + sum(rows_of_events(child) for child in node.get("Plans", ()))


# Large payloads


def test_a_large_payload_does_not_come_with_the_fetch(session: Connection, tables: Tables, held: Lane) -> None:
    small, large = "x" * (INLINE_BYTES - 2), "x" * (INLINE_BYTES - 1)
    tables.add("a", payload=[])
    tables.execute("UPDATE outbox_events SET payload = to_jsonb(%(text)s::text)", text=small)
    assert read(session, held)["acme"][0][PAYLOAD] == f'"{small}"'
    tables.execute("UPDATE outbox_events SET payload = to_jsonb(%(text)s::text)", text=large)
    (row,) = read(session, held)["acme"]
    assert (row[PAYLOAD], row[BYTES]) == (None, INLINE_BYTES + 1)
    assert large_payloads(session, [row]) == {row[ID]: f'"{large}"'}


def test_large_payloads_are_read_a_group_at_a_time(session: Connection, tables: Tables) -> None:
    tables.add_many(5, payload_bytes=GROUP_BYTES // 2 - 100)
    rows = read(session, lane())["acme"]
    assert list(large_payloads(session, rows)) == ids(rows)[:2]
    assert list(large_payloads(session, rows[4:])) == ids(rows)[4:]


def test_a_payload_larger_than_a_group_is_a_group(session: Connection, tables: Tables) -> None:
    tables.add_many(2, payload_bytes=GROUP_BYTES + 100)
    rows = read(session, lane())["acme"]
    assert list(large_payloads(session, rows)) == ids(rows)[:1]


def test_small_ones_in_between_are_left_alone(session: Connection, tables: Tables) -> None:
    tables.add("a")
    tables.add_many(1, payload_bytes=20_000)
    rows = read(session, lane())["acme"]
    assert list(large_payloads(session, rows)) == ids(rows)[1:]


def test_a_large_payload_whose_event_was_discarded_is_not_read(session: Connection, tables: Tables) -> None:
    tables.add_many(1, payload_bytes=20_000)
    rows = read(session, lane())["acme"]
    tables.execute("UPDATE outbox_events SET status = 'discarded'")
    assert large_payloads(session, rows) == {}


def test_payloads_of_events_that_only_wait_are_not_read(session: Connection, tables: Tables) -> None:
    tables.add("k", status="scheduled", attempts=1, available_at="2100-01-01")
    tables.add("k", "free", payload="x" * 20_000)
    rows = read(session, careful())["acme"]
    assert [row[PARTITION_KEY] for row in rows if row[ID] in large_payloads(session, rows)] == ["free"]


# A retry that becomes due stands behind the cursor


def test_a_retry_that_has_become_due_is_not_overtaken(session: Connection, tables: Tables) -> None:
    """Whichever relay made it due: its key is free from then on, and its successors are ahead of the cursor."""
    (retry,) = tables.add("k", status="scheduled", attempts=1, available_at="2001-01-01")
    tables.add("other")
    held = claimed(session, "acme")
    assert held.blocked
    (rows,) = read(session, held).values()
    held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
    successor = tables.add("k")
    assert waiting(read(session, held)["acme"]) == successor
    promote(tables)
    assert not waiting(read(session, held)["acme"])
    go_back_for_retries(session, [held])
    held.apply_rewind()
    assert ids(read(session, held)["acme"])[0] == retry


def test_a_second_retry_that_becomes_due_is_noticed_as_well(session: Connection, tables: Tables) -> None:
    """It stands above the floor that the first one has lowered already."""
    tables.add("k", "l", status="scheduled", attempts=1, available_at="2001-01-01")
    tables.execute("UPDATE outbox_events SET available_at = '2100-01-01' WHERE partition_key = 'l'")
    held = claimed(session, "acme")
    promote(tables)
    tables.add("m")
    go_back_for_retries(session, [held])
    held.apply_rewind()
    (rows,) = read(session, held).values()
    held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
    tables.execute("UPDATE outbox_events SET available_at = '2001-01-01' WHERE partition_key = 'l'")
    promote(tables)
    tables.add("l")
    go_back_for_retries(session, [held])
    held.apply_rewind()
    assert [row[PARTITION_KEY] for row in read(session, held)["acme"]] == ["k", "l", "m", "l"]


def test_a_replayed_event_is_not_overtaken_by_a_later_one_replayed_with_it(session: Connection, tables: Tables) -> None:
    """The cursor may stand between two of a key that become pending in one transaction."""
    older, between, newer = tables.add("k", "", "k")
    tables.execute("UPDATE outbox_events SET status = 'failed' WHERE partition_key = 'k'")
    held = claimed(session, "acme")
    (rows,) = read(session, held).values()
    assert ids(rows) == [between]
    held.cursor, held.cursor_id = rows[-1][CREATED], rows[-1][ID]
    tables.execute(sql.load("replay"), ids=[older, newer], statuses=["failed"])
    (rows,) = read(session, held).values()
    assert ids(rows) == [newer]
    assert has_replays(rows)
    go_back_for_retries(session, [held], replayed=[held])
    held.apply_rewind()
    assert ids(read(session, held)["acme"]) == [older, between, newer]


def test_a_lane_without_keys_in_retry_is_not_asked_about(session: Connection, tables: Tables) -> None:
    held = claimed(session, "acme")
    tables.execute("UPDATE outbox_lanes SET floor = '2000-01-01 00:00:01+00'")
    go_back_for_retries(session, [held])
    assert held.rewind_to is None


def test_a_renewal_that_moves_the_floor_is_not_taken_for_a_retry(session: Connection, tables: Tables) -> None:
    tables.add("k", status="scheduled", attempts=1, available_at="2100-01-01")
    tables.add("other")
    held = claimed(session, "acme")
    held.row_floor, held.renewing = 1_000_000, True
    tables.execute("UPDATE outbox_lanes SET floor = '2000-01-01 00:00:01+00'")
    go_back_for_retries(session, [held])
    assert held.rewind_to is None


def claimed(session: Connection, tenant: str) -> Lane:
    (held,) = Tenure(connection=session, relay_id=uuid.uuid4(), db_now=lambda _: 0).claim([tenant], limit=1, now=0.0)
    return held
