"""How PostgreSQL goes about what the console asks, at 100,000 events and minutes and 2,000 tenants: by index, and never
through the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from outbox import counting, sql
from outbox.operations.overview import overview
from outbox.operations.quick import AVOIDED
from outbox.operations.series import Span, series
from outbox.operations.tenant_summary import MOST_FAILURES, tenant_summary
from tests.support.plans import Plan, application_plan

# Without the mark there would be no test database, and the rows would end in the developer's.
pytestmark = pytest.mark.django_db

EVENTS = 100_000
TENANTS = 2_000
MINUTES = 100_000
TABLES = (
    "outbox_events, outbox_lanes, outbox_minutes, outbox_tenant_backlogs, outbox_backlog_counts,"
    " outbox_tenant_policies, circuits_tenant_circuits"
)
SHORT = {"outbox_backlog_counts", "outbox_relays"}
"""One row, and one for each relay: these may be read as a whole."""
TENANTS_A_MINUTE = 70

# One in forty events is a dead letter, one in forty in retry; one tenant in twenty has an open circuit.
_SEED = """
INSERT INTO outbox_events (tenant_id, topic, partition_key, dedupe_key, payload, status, attempts, available_at,
                           error_class)
SELECT 'tenant-' || i %% %(tenants)s, 'orders', 'order-' || i / 500, 'event-' || i, '{}', status,
       (status <> 'pending')::int, CASE WHEN status = 'scheduled' THEN now() + interval '1 day' END,
       CASE WHEN status IN ('failed', 'scheduled') THEN 'topic' ELSE '' END
FROM generate_series(1, %(events)s) AS i
CROSS JOIN LATERAL (SELECT CASE i / %(tenants)s %% 40 WHEN 0 THEN 'scheduled' WHEN 1 THEN 'failed' WHEN 2 THEN 'sent'
                           ELSE 'pending' END) AS drawn (status);
INSERT INTO outbox_lanes (tenant_id) SELECT 'tenant-' || n FROM generate_series(0, %(tenants)s - 1) n;
INSERT INTO outbox_tenant_policies (tenant_id, rate, updated_at)
SELECT 'tenant-' || n, 10, now() FROM generate_series(0, %(tenants)s - 1) n;
INSERT INTO outbox_tenant_backlogs (tenant_id, pending, oldest_pending_at, scheduled, failed, taken_at)
SELECT 'tenant-' || n, 40, now() - n * interval '1 second', 5, n %% 7, now() FROM generate_series(0, %(tenants)s - 1) n;
INSERT INTO outbox_backlog_counts (taken_at, next_at, tenants, pending) VALUES (now(), now() + interval '1 day', 1, 1);
INSERT INTO circuits_tenant_circuits (tenant_id, name, state, open_until)
SELECT 'tenant-' || n, 'publish', CASE WHEN n %% 20 = 0 THEN 'open' ELSE 'closed' END,
       CASE WHEN n %% 20 = 0 THEN now() + interval '1 day' END
FROM generate_series(0, %(tenants)s - 1) n;
INSERT INTO outbox_minutes (tenant_id, step, minute, sent, failed_attempts, waiting, latency)
SELECT CASE n %% 70 WHEN 0 THEN '*' ELSE 'tenant-' || n %% 70 END,
       step, date_bin(step * interval '1 minute', now(), '2000-01-01') - n / 70 * step * interval '1 minute',
       10, n %% 3, 5, '{0,0,4,6}'
FROM generate_series(0, %(minutes)s / 2 - 1) n, (VALUES (1), (15)) AS s (step)
"""


@pytest.fixture(scope="module", autouse=True)
def rows(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        assert connection.settings_dict["NAME"].startswith("test_")
        cursor.execute(f"TRUNCATE {TABLES} CASCADE")
        cursor.execute(_SEED, {"events": EVENTS, "tenants": TENANTS, "minutes": MINUTES})
        cursor.execute(f"VACUUM (ANALYZE) {TABLES}")
        yield
        cursor.execute(f"TRUNCATE {TABLES} CASCADE")
        connection.close()


def plans(ask: Callable[[], object]) -> dict[str, Plan]:
    """How each of its questions was answered, by the first word of the comment or the table."""
    with CaptureQueriesContext(connection) as queries:
        ask()
    asked = [each["sql"] for each in queries if each["sql"].lstrip().startswith(("--", 'SELECT "', "SELECT a."))]
    assert asked
    before = "; ".join(f"SET {name} = off" for name in AVOIDED if name != "enable_bitmapscan")
    return {statement: application_plan(statement, None, before=before) for statement in asked}


def reads(found: Plan, table: str) -> float:
    """Rows read of a table, over all nodes and loops."""
    return sum(
        float((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in found.nodes
        if node.get("Relation Name") == table
    )


MINUTE = timedelta(minutes=1)
SCOPES = [None, ["tenant-3"], [f"tenant-{n}" for n in range(30)]]


@pytest.mark.parametrize("scope", SCOPES)
def test_the_overview_reads_tables_of_tenants_by_index_and_no_event(scope: list[str] | None) -> None:
    found = plans(lambda: overview(tenants=scope, span=Span.DAY))
    assert len(found) == 3
    for each in found.values():
        assert set(each.scans()) <= SHORT
        assert reads(each, "outbox_events") == 0
        # Each of its parts looks at a tenant a few times at most; of the minutes at those of 51 sparklines.
        assert reads(each, "outbox_tenant_backlogs") <= 6 * TENANTS
        assert reads(each, "outbox_minutes") <= 51 * 24 * 60


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("span", list(Span))
def test_charts_read_the_minutes_of_their_tenants_alone(scope: list[str] | None, span: Span) -> None:
    ((found),) = plans(lambda: series(span=span, tenants=scope)).values()
    assert found.scans() == []
    # Of many tenants, a minute's rows may be fewer than one for each.
    assert found.indexes <= {"outbox_minutes_pkey", "ix_outbox_minute"}
    assert reads(found, "outbox_minutes") <= TENANTS_A_MINUTE * (span.points + 1) * (span.step / MINUTE + 2)


def test_a_tenants_summary_reads_its_own_rows() -> None:
    found = plans(lambda: tenant_summary(tenant_id="tenant-3", span=Span.DAY))
    assert len(found) == 5
    for each in found.values():
        assert set(each.scans()) <= SHORT
        assert reads(each, "outbox_events") <= 2 * MOST_FAILURES + 1
        assert reads(each, "outbox_minutes") <= 2 * 24 * 60
        assert reads(each, "circuits_tenant_circuits") <= 10


def test_counting_and_pruning_touch_the_minutes_in_question_alone() -> None:
    waiting = {"taken_at": timezone.now(), "tenants": ["tenant-1", "*"], "waiting": [7, 9]}
    found = application_plan(sql.load("write_waiting"), waiting, before=counting.BY_INDEX.replace("LOCAL ", ""))
    assert found.scans() == []
    assert reads(found, "outbox_minutes") <= 4 * (TENANTS_A_MINUTE + 2)
    over = {"step": 1, "hours": 5, "limit": 50}
    found = application_plan(sql.load("prune_minutes"), over, before=counting.BY_INDEX.replace("LOCAL ", ""))
    assert (found.scans(), "ix_outbox_minute" in found.indexes) == ([], True)
    assert reads(found, "outbox_minutes") <= 3 * 50
