"""The list of events: by index, without a count, and to the end."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from circuits.console import lists
from tests.outbox.operations.rows import event, failed

pytestmark = pytest.mark.django_db

LIST = "/admin/outbox/outboxevent/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def listed(staff: Client, **query: str) -> list[int]:
    response = staff.get(LIST, query)
    assert response.status_code == 200
    return [int(found) for found in re.findall(r'field-id"><a href="[^"]*/(\d+)/change/', response.text)]


def test_events_are_chosen_by_all_that_is_given(staff: Client) -> None:
    wanted = failed(topic="returns")
    failed(), failed(topic="returns", tenant_id="zeta"), event(topic="returns")
    failed(topic="returns", error_class="poison"), failed(topic="returns", created_at=timezone.now())
    query = {
        "status__exact": "failed",
        "tenant": "acme",
        "topic": "returns",
        "error_class": "topic",
        "older_than": "1h",
    }
    assert listed(staff, **query) == [wanted.pk]
    assert listed(staff, q="acme", **query) == [wanted.pk]
    assert listed(staff, q="zeta", **query) == []
    assert listed(staff, q=str(wanted.pk), **query) == [wanted.pk]


def test_events_of_a_status_come_by_tenant_the_newest_first(staff: Client) -> None:
    old, new, other = failed(1), failed(2), failed(0, tenant_id="zeta")
    assert listed(staff, status__exact="failed") == [other.pk, new.pk, old.pk]


@pytest.mark.parametrize("query", [{"status__exact": "lost"}, {"older_than": "soon"}, {"after": "nowhere"}])
def test_what_cannot_be_asked_for_leads_back_to_the_list(staff: Client, query: dict[str, str]) -> None:
    assert staff.get(LIST, query).status_code == 302


def test_the_list_goes_on_where_it_ends(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST_LISTED", 2)
    rows = [failed(second) for second in range(5)]
    seen: list[int] = []
    query: dict[str, str] = {"status__exact": "failed"}
    for _ in range(3):
        response = staff.get(LIST, query)
        seen += [int(found) for found in re.findall(r"/(\d+)/change/", response.text)]
        link = re.search(r'<a href="\?([^"]*)">Older events', response.text)
        if link is None:
            break
        query = dict(part.split("=") for part in link[1].replace("%2F", "/").split("&amp;"))
    assert seen == [row.pk for row in rows][::-1]


def test_a_text_filter_keeps_the_others(staff: Client) -> None:
    failed()
    page = staff.get(LIST, {"tenant": "acme", "status__exact": "failed"}).text
    assert 'name="tenant" value="acme"' in page
    assert '<input type="hidden" name="status__exact" value="failed">' in page


def test_the_list_counts_nothing_and_reads_no_payload(staff: Client) -> None:
    failed()
    for query in ({}, {"status__exact": "failed"}, {"tenant": "acme"}, {"topic": "orders"}, {"q": "acme"}):
        about_events = statements(staff, query)
        assert not [each for each in about_events if "COUNT(" in each.upper() or '"payload"' in each]


def test_the_list_asks_as_often_for_many_events_as_for_few(staff: Client) -> None:
    failed()
    few = len(statements(staff, {"status__exact": "failed"}))
    for second in range(300):
        failed(second)
    assert len(statements(staff, {"status__exact": "failed"})) == few


@pytest.fixture
def many(staff: Client) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload, status)"
            " SELECT 'tenant-' || (i % 50), 'orders', i::text, '{}', CASE WHEN i % 20 = 0 THEN 'failed' ELSE 'sent' END"
            " FROM generate_series(1, 30000) AS i"
        )
        cursor.execute("ANALYZE outbox_events")
    yield


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"status__exact": "failed"},
        {"status__exact": "sent", "topic": "rare"},
        {"tenant": "tenant-7"},
        {"q": "tenant-7"},
    ],
)
def test_every_statement_of_the_list_goes_by_an_index(staff: Client, many: None, query: dict[str, str]) -> None:
    for statement in statements(staff, query):
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (FORMAT TEXT) " + statement)
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert "Seq Scan" not in plan
        assert "Index" in plan


def statements(staff: Client, query: dict[str, str]) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert staff.get(LIST, query).status_code == 200
    found = [each["sql"] for each in queries if 'FROM "outbox_events"' in each["sql"]]
    assert found
    return found
