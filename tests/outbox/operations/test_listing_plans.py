"""Every list goes by an index and reads a chunk of it, whatever is asked for and however many events there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from outbox.models import EventStatus
from outbox.operations import dead_letters
from outbox.operations.filters import Filter, InvalidFilter
from outbox.operations.listing import CHUNK, MOST_LOOKED_AT, page
from outbox.operations.quick import AVOIDED
from tests.support.plans import Plan, application_plan

# Without the mark there would be no test database, and the rows would end in the developer's.
pytestmark = pytest.mark.django_db

EVENTS = 100_000

# Nine in ten wait, one in a hundred is for a rare topic.
_SEED = """
INSERT INTO outbox_events (tenant_id, topic, partition_key, dedupe_key, payload, status, attempts, available_at,
                           error_class, created_at)
SELECT 'tenant-' || lpad((i %% 100)::text, 3, '0'), CASE WHEN i / 100 %% 100 = 2 THEN 'rare' ELSE 'orders' END,
       'order-' || i / 500, 'event-' || i, '{}', status, (status <> 'pending')::int,
       CASE WHEN status = 'scheduled' THEN clock_timestamp() + interval '1 day' END,
       CASE WHEN status IN ('failed', 'scheduled') THEN (ARRAY['topic', 'poison'])[1 + i %% 2] ELSE '' END,
       timestamptz '2026-01-01' + i * interval '1 second'
FROM generate_series(1, %s) AS i
CROSS JOIN LATERAL (SELECT CASE i / 100 %% 40 WHEN 0 THEN 'scheduled' WHEN 1 THEN 'discarded' WHEN 2 THEN 'failed'
                                              WHEN 3 THEN 'sent' ELSE 'pending' END) AS drawn (status)
"""
# Dead letters of others, each of its own topic, before all of those in the alphabet.
TOPICS = 150
_OTHERS = """
INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload, status, attempts, error_class)
SELECT 'other-' || i, 'a-topic-' || i, 'event-' || i, '{}', 'failed', 1, 'a-class-' || i FROM generate_series(1, %s) i
"""
CUTOFF = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def events(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        assert connection.settings_dict["NAME"].startswith("test_")
        cursor.execute(_SEED, [EVENTS])
        cursor.execute(_OTHERS, [TOPICS])
        cursor.execute("VACUUM (ANALYZE) outbox_events")
        yield
        cursor.execute("TRUNCATE outbox_events CASCADE")
        connection.close()


def statements(given: Filter, *, after: str | None = None, newest_first: bool = False) -> list[str]:
    """What a page asks the database about events."""
    with CaptureQueriesContext(connection) as queries:
        page(given, limit=50, after=after, newest_first=newest_first, most=CHUNK + 1)
    asked = [each["sql"] for each in queries if "FROM outbox_events" in each["sql"].replace('"', "")]
    assert asked
    return asked


def as_asked(statement: str) -> Plan:
    """Under the settings that `quick` gives such statements."""
    return application_plan(statement, None, before="; ".join(f"SET {name} = off" for name in AVOIDED))


def assert_goes_by_index(found: Plan, *, indexes: set[str], most: int = CHUNK + 64) -> None:
    assert found.scans() == []
    assert found.of_type("Bitmap Heap Scan", "Hash Join", "Merge Join") == []
    assert found.indexes <= indexes
    assert found.rows_sorted() <= 64
    assert found.rows_read() <= most


BY_STATUS = {"ix_outbox_status_tenant_created", "ix_outbox_dead_letter_topic", "ix_outbox_dead_letter_class"}
COMBINATIONS = list(
    product(
        (None, "tenant-007"),
        ((EventStatus.PENDING,), (EventStatus.FAILED,), (EventStatus.SENT, EventStatus.SCHEDULED)),
        (None, "orders", "rare", "unheard-of"),
        (None, "topic"),
        (None, CUTOFF),
    )
)


@pytest.mark.parametrize("newest_first", [True, False])
def test_each_combination_of_filters_goes_by_an_index(newest_first: bool) -> None:
    for tenant, statuses, topic, error_class, before in COMBINATIONS:
        given = Filter(tenant_id=tenant, statuses=statuses, topic=topic, error_class=error_class, created_before=before)
        for statement in set(statements(given, newest_first=newest_first)):
            assert_goes_by_index(as_asked(statement), indexes=BY_STATUS)


def test_a_tenants_events_of_all_statuses_are_merged_from_the_index() -> None:
    for statement in statements(Filter(tenant_id="tenant-007"), newest_first=True):
        assert_goes_by_index(as_asked(statement), indexes=BY_STATUS)


def test_the_newest_events_of_all_are_read_by_their_number() -> None:
    for statement in statements(Filter(topic="rare"), newest_first=True):
        assert_goes_by_index(as_asked(statement), indexes={"outbox_events_pkey"})


@pytest.mark.parametrize("newest_first", [True, False])
def test_events_of_some_tenants_are_read_from_the_index_tenant_by_tenant(newest_first: bool) -> None:
    some = tuple(f"tenant-{number:03}" for number in range(20, 60))
    combinations = [each for each in COMBINATIONS if each[0] is None]
    for _, statuses, topic, error_class, before in [*combinations, (None, tuple(EventStatus), None, None, None)]:
        given = Filter(tenants=some, statuses=statuses, topic=topic, error_class=error_class, created_before=before)
        asked = statements(given, newest_first=newest_first)
        for statement in set(asked):
            # The last tenant of a chunk is read to the chunk's length before its ties are sorted.
            assert_goes_by_index(as_asked(statement), indexes=BY_STATUS, most=2 * CHUNK)
    assert len(asked) <= len(EventStatus)


@pytest.mark.parametrize("tenant", [None, "tenant-050"])
def test_a_page_far_back_costs_what_the_first_one_does(tenant: str | None) -> None:
    given = Filter(tenant_id=tenant, statuses=(EventStatus.PENDING,))
    place = page(given, limit=1, after="tenant-050/1767300000000000/0").next
    for statement in statements(given, after=place):
        found = as_asked(statement)
        assert_goes_by_index(found, indexes=BY_STATUS)
        assert found.rows_read() <= 64


def test_named_events_are_read_by_their_names() -> None:
    (statement,) = statements(Filter(ids=(1, 2, 3)))
    assert as_asked(statement).indexes == {"outbox_events_pkey"}
    (statement,) = statements(Filter(tenant_id="tenant-007", dedupe_key="event-7"))
    assert as_asked(statement).indexes == {"uq_outbox_tenant_dedupe"}


def test_a_key_without_its_tenant_would_be_a_search() -> None:
    with pytest.raises(InvalidFilter, match="name the tenant"):
        Filter(dedupe_key="event-7")


def test_dead_letters_of_a_rare_topic_are_found_without_reading_the_others() -> None:
    given = Filter(statuses=(EventStatus.FAILED,), topic="rare")
    found = page(given, limit=10)
    assert (len(found.rows), found.looked_at) == (10, 10)


def test_what_no_index_answers_is_looked_for_a_bounded_way_and_found_in_the_end() -> None:
    given = Filter(statuses=(EventStatus.PENDING,), created_before=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(0))
    found = page(given, limit=10)
    assert (found.rows, found.looked_at) == ((), MOST_LOOKED_AT)
    pages = 1
    while found.next is not None:
        found, pages = page(given, limit=10, after=found.next), pages + 1
    assert pages == -(-90_000 // MOST_LOOKED_AT)


def test_no_list_counts_the_table() -> None:
    for tenant, statuses, topic, error_class, before in COMBINATIONS[:8]:
        given = Filter(tenant_id=tenant, statuses=statuses, topic=topic, error_class=error_class, created_before=before)
        assert not any("COUNT(" in statement.upper() for statement in statements(given))


@pytest.mark.parametrize("tenants", [None, ["tenant-003", "tenant-018"]], ids=["all", "scoped"])
def test_groups_of_dead_letters_are_counted_by_index_and_up_to_a_cap(tenants: list[str] | None) -> None:
    with CaptureQueriesContext(connection) as queries:
        found = dead_letters.groups(tenants=tenants)
    assert [group.name for group in found.by_class.groups][:2] == ["poison", "topic"]
    assert [group.more for group in found.by_class.groups][:2] == 2 * [tenants is None]
    assert found.by_class.more == (tenants is None)
    asked = [each["sql"] for each in queries if "WITH RECURSIVE" in each["sql"]]
    plans = [application_plan(each, None, before="; ".join(f"SET {name} = off" for name in AVOIDED)) for each in asked]
    assert [plan.scans() for plan in plans] == [[], []]
    assert plans[0].indexes == {"ix_outbox_dead_letter_class"}
    assert plans[1].indexes == {"ix_outbox_dead_letter_topic"}
    assert max(plan.rows_read() for plan in plans) <= 2 * (dead_letters.MOST_COUNTED + 1) + 2 * TOPICS
