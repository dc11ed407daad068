"""What pages about events ask the database, at 100,000 of them: by index, and never all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from circuits.console.lists import MOST_LISTED
from outbox.models import OutboxEvent
from outbox.operations import attempts
from outbox.operations.browse import MOST_LOOKED_AT
from tests.outbox.admin import people
from tests.outbox.operations.test_listing_plans import _SEED, EVENTS, as_asked
from tests.support.plans import application_plan

# Without the mark there would be no test database, and the rows would end in the developer's.
pytestmark = pytest.mark.django_db

# One of each event, as if each had failed once.
_ATTEMPTS = """
INSERT INTO outbox_attempts (event_id, relay_id, error_class, code, message)
SELECT id, gen_random_uuid(), 'topic', 3, 'Unknown topic' FROM outbox_events ORDER BY id
"""


@pytest.fixture(scope="module", autouse=True)
def events(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        assert connection.settings_dict["NAME"].startswith("test_")
        cursor.execute(_SEED, [EVENTS])
        cursor.execute(_ATTEMPTS)
        cursor.execute("VACUUM (ANALYZE) outbox_events, outbox_attempts")
        yield
        cursor.execute("TRUNCATE outbox_events CASCADE")
        connection.close()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"id": "77"},
        {"topic": "rare"},
        {"older_than": "1d"},
        {"error_class": "topic"},
        {"status__exact": "failed"},
        {"status__exact": "failed", "topic": "rare"},
        {"status__exact": "failed", "error_class": "poison"},
        {"status__exact": "sent", "topic": "unheard-of"},
        {"status__exact": "pending", "older_than": "7d"},
        {"tenant": "tenant-007"},
        {"tenant": "tenant-007", "topic": "rare", "older_than": "1d"},
        {"tenant": "tenant-007", "status__exact": "pending", "error_class": "topic"},
        {"tenant": "tenant-007", "dedupe_key": "event-7"},
        {"tenant": "tenant-007", "partition_key": "order-17"},
        {"tenant": "tenant-007", "after": "tenant-007/1767300000000000/0"},
        {"tenant": "tenant-007", "before": "tenant-007/1767300000000000/0"},
    ],
)
def test_every_statement_of_the_page_goes_by_an_index(client: Client, query: dict[str, str]) -> None:
    client.force_login(User.objects.create_superuser("ann"))
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/admin/outbox/outboxevent/", query).status_code == 200
    asked = [each["sql"] for each in queries if "outbox_events" in each["sql"]]
    assert asked
    for statement in asked:
        found = as_asked(statement)
        assert found.scans() == []
        assert found.indexes
        assert found.rows_sorted() <= 64
        assert found.rows_read() <= MOST_LOOKED_AT + 64


@pytest.mark.parametrize("tenants", [("tenant-007",), tuple(f"tenant-{n:03}" for n in range(30)), ("nobody",)])
def test_attempts_of_limited_staff_are_looked_for_a_bounded_way(client: Client, tenants: tuple[str, ...]) -> None:
    client.force_login(people.operator(tenants=tenants))
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/admin/outbox/outboxattempt/").status_code == 200
    looked, *read = [each["sql"] for each in queries if "outbox_attempts" in each["sql"]]
    found = as_asked(looked)
    assert found.indexes == {"outbox_attempts_pkey", "outbox_events_pkey"}
    assert (found.scans(), found.rows_sorted()) == ([], 0)
    assert found.rows_read() <= attempts.MOST_LOOKED_AT + 1
    assert len(read) == (tenants != ("nobody",))
    for statement in read:
        found = as_asked(statement)
        assert (found.scans(), found.indexes) == ([], {"outbox_attempts_pkey", "outbox_events_pkey"})
        assert found.rows_read() <= MOST_LISTED


def test_an_event_of_limited_staff_is_read_by_its_number(client: Client) -> None:
    client.force_login(people.operator(tenants=("tenant-007", "tenant-042")))
    event_id = OutboxEvent.objects.filter(tenant_id="tenant-042", status="failed").latest("pk").pk
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"/admin/outbox/outboxevent/{event_id}/change/").status_code == 200
        assert client.get(f"/admin/outbox/outboxattempt/?q={event_id}").status_code == 200
    asked = [each["sql"] for each in queries if 'FROM "outbox_' in each["sql"] or "FROM outbox_" in each["sql"]]
    about = [each for each in asked if "outbox_events" in each or "outbox_attempts" in each]
    assert len(about) >= 4
    for statement in about:
        found = application_plan(statement, None)
        assert found.scans() == []
        assert found.rows_read() <= 2
