"""How PostgreSQL goes about each hot statement at 100,000 events: by index, in the index's order, never all of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper
from pytest_django import DjangoDbBlocker

from outbox import counting, sql
from outbox.models import OutboxEvent
from outbox.relay import session
from tests.support.plans import application_plan, plan
from tests.support.waiting import wait_until

# Without the mark there would be no test database, and the rows would end in the developer's.
pytestmark = pytest.mark.django_db

EVENTS = 100_000
TENANTS = [f"tenant-{n:03d}" for n in range(100)]
DRAIN_INDEX = "ix_outbox_status_tenant_created"

# Nine in ten wait; of the others some are delayed, in retry, dead or sent.
_SEED = """
INSERT INTO outbox_events (tenant_id, topic, partition_key, dedupe_key, payload, status, attempts, available_at)
SELECT 'tenant-' || lpad((i %% 100)::text, 3, '0'), 'orders', 'order-' || i / 500, 'event-' || i,
       jsonb_build_object('n', i, 'text', repeat('x', 100)), status, attempts,
       CASE WHEN status = 'scheduled' THEN clock_timestamp() + interval '1 day' + i * interval '1 second' END
FROM generate_series(1, %s) AS i
CROSS JOIN LATERAL (SELECT CASE i / 100 %% 40 WHEN 0 THEN 'scheduled' WHEN 1 THEN 'scheduled' WHEN 2 THEN 'failed'
                                              WHEN 3 THEN 'sent' ELSE 'pending' END,
                           (i / 100 %% 40)::int) AS drawn (status, attempts)
"""


@pytest.fixture(scope="module")
def database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[session.Connection]:
    """A relay's session on a table of 100,000 events and the lanes of their tenants."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        assert connection.settings_dict["NAME"].startswith("test_")
        cursor.execute(_SEED, [EVENTS])
        cursor.execute("INSERT INTO outbox_lanes (tenant_id, floor) SELECT unnest(%s::text[]), '2000-01-01'", [TENANTS])
        cursor.execute("VACUUM (ANALYZE) outbox_events, outbox_lanes")
        wait_until(lambda: vacuumed(cursor))
        relay = session.connect("plans")
        yield relay
        relay.close()
        cursor.execute("TRUNCATE outbox_events, outbox_lanes CASCADE")
        connection.close()


def vacuumed(cursor: CursorWrapper) -> bool:
    """Whether nearly all of the table is known to be visible: a vacuum passes over what some session may still see, and
    over pages that are there before anything is on them.
    """
    cursor.execute("VACUUM outbox_events")
    cursor.execute("SELECT relallvisible > 0.9 * relpages FROM pg_class WHERE relname = 'outbox_events'")
    return bool((cursor.fetchone() or (False,))[0])


def lanes(*, quota: int) -> dict[str, Any]:
    return {
        "inline": 10_000,
        "tenants": TENANTS,
        "after_us": [0] * len(TENANTS),
        "after_id": [0] * len(TENANTS),
        "quotas": [quota] * len(TENANTS),
        "dead_letters_block": False,
    }


def some_ids(database: session.Connection, count: int) -> list[int]:
    rows = database.execute("SELECT id FROM outbox_events WHERE status = 'pending' ORDER BY id LIMIT %s", [count])
    return [row[0] for row in rows]


@pytest.mark.parametrize("name", ["fetch", "fetch_careful"])
def test_fetch_walks_each_lane_in_the_indexs_order(database: session.Connection, name: str) -> None:
    found = plan(database, sql.load(name), lanes(quota=20))
    assert DRAIN_INDEX in found.indexes
    assert found.scans() == []
    assert found.of_type("Sort") == []
    (sort,) = found.of_type("Incremental Sort")
    assert [key.rpartition(".")[2] for key in sort["Presorted Key"]] == ["created_at"]
    assert found.rows_read() <= 100 * (20 + 64)


def test_settle_of_acknowledged_events_goes_by_primary_key(database: session.Connection) -> None:
    ids = some_ids(database, 2_000)
    found = plan(
        database, sql.load("settle_sent"), {"ids": ids, "partitions": [0] * len(ids), "offsets": list(range(len(ids)))}
    )
    assert found.indexes == {"outbox_events_pkey"}
    assert (found.scans(), found.of_type("Sort", "Hash Join", "Merge Join")) == ([], [])
    assert found.rows_read() == len(ids)


def test_settle_of_failures_goes_by_primary_key(database: session.Connection) -> None:
    ids = some_ids(database, 100)
    texts = ["error"] * len(ids)
    found = plan(
        database,
        sql.load("settle_failed"),
        {"ids": ids, "delays": [1.0] * len(ids), "messages": texts, "classes": texts, "held": [False] * len(ids)},
    )
    assert found.indexes == {"outbox_events_pkey"}
    assert found.scans() == []


def test_events_that_others_hold_locked_are_found_by_primary_key(database: session.Connection) -> None:
    with database.transaction(force_rollback=True):
        found = plan(database, sql.load("locked_events"), {"ids": some_ids(database, 100)})
    assert found.indexes == {"outbox_events_pkey"}
    assert found.scans() == []


def test_payloads_left_out_of_a_fetch_are_read_by_primary_key(database: session.Connection) -> None:
    found = plan(database, sql.load("large_payloads"), {"ids": some_ids(database, 8)})
    assert found.indexes == {"outbox_events_pkey"}


def test_looking_for_lanes_with_work_costs_a_step_for_each_and_not_their_backlogs(
    database: session.Connection,
) -> None:
    found = plan(database, sql.load("scan"), {"after": [""], "before": ["~"], "limit": 1_000})
    beside = {index for index in found.indexes if index.startswith("outbox_tenant_policies")}
    assert found.indexes - beside == {DRAIN_INDEX, "uq_circuit_tenant_name"}
    assert (found.scans(), found.of_type("Sort")) == ([], [])
    assert found.rows_read() <= len(TENANTS)


def test_looking_at_known_lanes_costs_a_step_for_each(database: session.Connection) -> None:
    found = plan(database, sql.load("probe_lanes"), {"tenants": TENANTS})
    assert DRAIN_INDEX in found.indexes
    assert "outbox_events" not in found.scans()
    assert found.rows_read() <= len(TENANTS)


@pytest.mark.parametrize("name", ["claim", "renew", "fleet", "find_unclaimed", "probe_lanes", "scan"])
def test_circuits_are_read_by_index_and_only_those_asked_for(database: session.Connection, name: str) -> None:
    """A thousand others have a row."""
    with database.transaction(force_rollback=True):
        database.execute(
            "INSERT INTO circuits_tenant_circuits (tenant_id, name, state, open_until)"
            " SELECT 'other-' || n, 'publish', 'open', '2100-01-01' FROM generate_series(1, 1000) n"
        )
        database.execute("UPDATE outbox_lanes SET has_work = true")
        found = plan(database, sql.load(name), steering_params())
    circuits = [node for node in found.nodes if node.get("Relation Name") == "circuits_tenant_circuits"]
    assert {node["Index Name"] for node in circuits} == {"uq_circuit_tenant_name"}
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in circuits) == 0
    assert found.of_type("Hash Join", "Merge Join") == []


def steering_params() -> dict[str, Any]:
    many = len(TENANTS)
    return {
        "candidates": TENANTS,
        "limit": 1_000,
        "owner": uuid.uuid4(),
        "lease": 5.0,
        "virtual_now": 0.0,
        "most_credit": 0.0,
        "tenants": TENANTS,
        "tokens": [0] * many,
        "virtual_times": [0.0] * many,
        "rate_clocks": [None] * many,
        "seen": [0] * many,
        "floors": [0] * many,
        "has_work": [True] * many,
        "after": [""],
        "before": ["~"],
    }


def test_due_events_are_found_by_the_index_of_their_time(database: session.Connection) -> None:
    with database.transaction(force_rollback=True):
        database.execute(
            "UPDATE outbox_events SET available_at = clock_timestamp()"
            " WHERE status = 'scheduled' AND partition_key < 'order-2'"
        )
        found = plan(database, sql.load("promote"), {"limit": 100, "patient": True, "without": []})
    assert {"ix_outbox_due", "outbox_events_pkey"} <= found.indexes
    assert "outbox_events" not in found.scans()
    assert found.rows_read() <= 100


def test_nothing_due_costs_one_look_into_an_index(database: session.Connection) -> None:
    found = plan(database, sql.load("promote"), {"limit": 100, "patient": True, "without": []})
    assert "outbox_events" not in found.scans()
    assert found.rows_read() == 0


def test_a_duplicate_is_found_by_the_unique_index(database: session.Connection) -> None:
    params = {"tenant_id": "tenant-007", "dedupe_key": "event-7", "payload": "{}"}
    found = application_plan(sql.load("enqueued_before"), params)
    assert found.indexes == {"uq_outbox_tenant_dedupe"}
    assert found.rows_read() == 1


def test_the_oldest_events_of_a_tenant_are_read_in_the_indexs_order(database: session.Connection) -> None:
    statement, params = (
        OutboxEvent.objects.pending().of_tenant("tenant-007").oldest_first()[:100].query.sql_with_params()
    )
    found = application_plan(statement, params)
    assert found.indexes == {DRAIN_INDEX}
    assert found.of_type("Sort") == []
    assert found.rows_read() <= 200


def test_the_oldest_events_of_all_tenants_do_not_cost_a_look_at_the_backlog(database: session.Connection) -> None:
    found = application_plan(sql.load("pending_oldest"), {"limit": 100})
    assert DRAIN_INDEX in found.indexes
    assert found.scans() == []
    assert found.rows_read() <= 1_000
    assert found.rows_sorted() <= 1_000


def test_the_longest_waiting_tenants_are_found_by_a_step_for_each(database: session.Connection) -> None:
    found = application_plan(sql.load("pending_by_tenant"), {"max_tenants": 10, "limit_per_tenant": 50})
    assert found.indexes == {DRAIN_INDEX}
    assert found.scans() == []
    assert found.rows_read() <= 10 * (50 + 64)
    assert found.rows_sorted() <= len(TENANTS)


@pytest.mark.parametrize("status", ["pending", "scheduled", "failed"])
def test_what_waits_is_counted_from_the_index_alone_a_chunk_at_a_time(
    database: session.Connection, status: str
) -> None:
    params = {"status": status, "tenant": "tenant-007", "at": "2020-01-01", "limit": 1_000}
    found = application_plan(sql.load("count_events"), params, before=counting.BY_INDEX)
    (scan,) = found.of_type("Index Only Scan")
    assert scan["Index Name"] == DRAIN_INDEX
    assert "tenant_id" in scan["Index Cond"]
    assert found.rows_read() <= 1_000 + 64
    assert found.rows_sorted() <= len(TENANTS)


@pytest.mark.parametrize(
    ("question", "index"),
    [
        (
            "SELECT FROM outbox_events WHERE status = 'scheduled' AND attempts > 0"
            " AND tenant_id = 'tenant-007' AND partition_key = 'order-8'",
            "ix_outbox_blocked_key",
        ),
        (
            "SELECT FROM outbox_events WHERE status = 'failed'"
            " AND tenant_id = 'tenant-007' AND partition_key = 'order-8'",
            "ix_outbox_dead_key",
        ),
        (
            "SELECT FROM outbox_events WHERE status = 'failed' AND error_class = 'topic'"
            " AND tenant_id = 'tenant-007' ORDER BY created_at LIMIT 10",
            "ix_outbox_dead_letter_class",
        ),
        (
            "SELECT FROM outbox_events WHERE status = 'failed' AND topic = 'rare'"
            " AND tenant_id = 'tenant-007' ORDER BY created_at LIMIT 10",
            "ix_outbox_dead_letter_topic",
        ),
    ],
)
def test_each_partial_index_answers_its_question(database: session.Connection, question: str, index: str) -> None:
    found = plan(database, question)
    assert found.indexes == {index}
