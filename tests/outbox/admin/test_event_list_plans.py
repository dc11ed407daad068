"""What the list of events asks the database, at 100,000 of them: by index, and never all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from outbox.operations.browse import MOST_LOOKED_AT
from tests.outbox.operations.test_listing_plans import _SEED, EVENTS, as_asked

# Without the mark there would be no test database, and the rows would end in the developer's.
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def events(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        assert connection.settings_dict["NAME"].startswith("test_")
        cursor.execute(_SEED, [EVENTS])
        cursor.execute("VACUUM (ANALYZE) outbox_events")
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
