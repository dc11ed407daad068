"""Each page of the list goes by the indexes it names, and reads no more than it looks at, at 100,000 events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from outbox.models import EventStatus
from outbox.operations.browse import MOST_LOOKED_AT, PAGE, browse
from outbox.operations.filters import Filter
from tests.outbox.operations.test_listing_plans import _SEED, EVENTS, as_asked

# Without the mark there would be no test database, and the rows would end in the developer's.
pytestmark = pytest.mark.django_db

CUTOFF = datetime(2026, 1, 1, 12, tzinfo=UTC)
DRAIN = "ix_outbox_status_tenant_created"
BY_STATUS = {DRAIN, "ix_outbox_dead_letter_topic", "ix_outbox_dead_letter_class"}
MOST_STATEMENTS = 3


@pytest.fixture(scope="module", autouse=True)
def events(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        assert connection.settings_dict["NAME"].startswith("test_")
        cursor.execute(_SEED, [EVENTS])
        cursor.execute("VACUUM (ANALYZE) outbox_events")
        yield
        cursor.execute("TRUNCATE outbox_events CASCADE")
        connection.close()


def statements(given: Filter, **place: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        browse(given, **place)  # type: ignore[arg-type]
    found = [each["sql"] for each in queries if "outbox_events" in each["sql"]]
    assert found
    assert len(found) <= MOST_STATEMENTS
    assert not any("COUNT(" in each.upper() for each in found)
    return found


def assert_goes_by_index(given: Filter, indexes: set[str], *, most: float, **place: str) -> None:
    for statement in statements(given, **place):
        found = as_asked(statement)
        assert found.scans() == [], given
        assert found.of_type("Bitmap Heap Scan", "Hash Join", "Merge Join") == []
        assert found.indexes <= indexes
        assert found.indexes
        assert found.rows_sorted() <= 64, given
        assert found.rows_read() <= most, given


@pytest.mark.parametrize("direction", ["after", "before"])
@pytest.mark.parametrize("tenants", [None, ("tenant-007",), ("tenant-007", "tenant-050", "tenant-090")])
def test_each_combination_of_filters_goes_by_an_index(tenants: tuple[str, ...] | None, direction: str) -> None:
    for statuses, topic, error_class, before in product(
        ((EventStatus.PENDING,), (EventStatus.FAILED,), (EventStatus.SENT, EventStatus.SCHEDULED)),
        (None, "orders", "rare", "unheard-of"),
        (None, "topic"),
        (None, CUTOFF),
    ):
        given = Filter(tenants=tenants, statuses=statuses, topic=topic, error_class=error_class, created_before=before)
        exact = (topic, error_class) == (None, None) and (before is None or tenants is not None)
        most = PAGE + 64 if exact else MOST_LOOKED_AT + 64
        assert_goes_by_index(given, BY_STATUS, most=most, **{direction: "tenant-050/1767300000000000/0"})


@pytest.mark.parametrize("given", [Filter(tenant_id="tenant-007"), Filter(tenants=("tenant-007", "tenant-008"))])
def test_a_tenants_events_of_all_statuses_are_merged_from_the_index(given: Filter) -> None:
    assert_goes_by_index(given, {DRAIN}, most=PAGE + 64)


def test_the_newest_events_of_all_are_read_by_their_number() -> None:
    assert_goes_by_index(Filter(), {"outbox_events_pkey"}, most=PAGE + 1)
    assert_goes_by_index(Filter(topic="unheard-of"), {"outbox_events_pkey"}, most=MOST_LOOKED_AT)
    assert_goes_by_index(Filter(), {"outbox_events_pkey"}, most=PAGE + 1, after="50000")


def test_named_events_are_read_by_their_names() -> None:
    assert_goes_by_index(Filter(ids=(1, 2, 3)), {"outbox_events_pkey"}, most=3)
    assert_goes_by_index(Filter(tenant_id="tenant-007", dedupe_key="event-7"), {"uq_outbox_tenant_dedupe"}, most=1)


def test_dead_letters_of_a_rare_topic_are_found_without_reading_the_others() -> None:
    for given in (Filter(statuses=(EventStatus.FAILED,), topic="rare"), Filter(error_class="poison", tenant_id="x")):
        statement = statements(given)[0]
        assert as_asked(statement).rows_read() <= PAGE + 64


def test_a_partition_key_reads_the_tenants_own_events_of_a_day() -> None:
    given = Filter(tenant_id="tenant-007", partition_key="order-17")
    day = 86_400 // 100
    assert_goes_by_index(given, {DRAIN}, most=day + 64, after="tenant-007/1767300000000000/0")
