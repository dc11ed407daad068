"""The list of events: by index, without a count, and to the end."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from circuits.models import StaffTenantScope
from outbox.admin import event_list
from outbox.operations import browse as browsing
from tests.outbox.operations.rows import event, failed

pytestmark = pytest.mark.django_db

LIST = "/admin/outbox/outboxevent/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    def browse(given: Any, **how: Any) -> browsing.Sheet:
        return browsing.browse(given, limit=2, **how)

    monkeypatch.setattr(event_list, "browse", browse)


def ids(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'field-id"><a href="[^"]*/(\d+)/change/', page)]


def listed(staff: Client, **query: str) -> list[int]:
    response = staff.get(LIST, query)
    assert response.status_code == 200
    assert "errornote" not in response.text
    return ids(response.text)


def link(page: str, text: str) -> dict[str, str] | None:
    found = re.search(rf'<a href="\?([^"]*)"[^>]*>{text}', page)
    return dict(parse_qsl(unescape(found[1]))) if found else None


def test_events_are_chosen_by_all_that_is_given(staff: Client) -> None:
    wanted = failed(topic="returns", partition_key="17", dedupe_key="a b")
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
    assert listed(staff, **query, id=str(wanted.pk)) == [wanted.pk]
    assert listed(staff, **query, dedupe_key="a b") == [wanted.pk]
    assert listed(staff, **query, q=f"acme {wanted.dedupe_key}") == [wanted.pk]
    assert listed(staff, **{**query, "tenant": "zeta"}, id=str(wanted.pk)) == []


def test_keys_are_looked_for_as_a_whole(staff: Client) -> None:
    wanted = event(dedupe_key="order-17", partition_key="17", created_at=timezone.now())
    event(dedupe_key="order-170", partition_key="170", created_at=timezone.now())
    assert listed(staff, tenant="acme", dedupe_key="order-17") == [wanted.pk]
    assert listed(staff, tenant="acme", partition_key="17") == [wanted.pk]
    assert listed(staff, tenant="zeta", dedupe_key="order-17") == []


def test_events_of_a_status_come_by_tenant_the_newest_first(staff: Client) -> None:
    old, new, other = failed(1), failed(2), failed(0, tenant_id="zeta")
    assert listed(staff, status__exact="failed") == [other.pk, new.pk, old.pk]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"status__exact": "lost"}, "lost is not one of the available choices"),
        ({"older_than": "soon"}, "soon is not one of the available choices"),
        ({"after": "nowhere"}, "is no place in a list of events"),
        ({"id": "17x"}, "positive whole number"),
        ({"id": "9" * 22}, "positive whole number"),
        ({"tenant": "a:b"}, "A tenant&#x27;s whole name"),
        ({"topic": "no such topic"}, "A topic&#x27;s whole name"),
        ({"dedupe_key": "order-17"}, "name the tenant as well"),
        ({"partition_key": "17"}, "name the tenant as well"),
        ({"tenat": "acme"}, "There is no filter &#x27;tenat&#x27;"),
        ({"topic__startswith": "o"}, "There is no filter"),
        ({"tenant": "x" * 65}, "at most 64 characters"),
        ({"id": "1", "tenant": "acme", "dedupe_key": "x"}, "An id names the event already"),
    ],
)
def test_what_cannot_be_asked_is_said_and_nothing_is_listed(staff: Client, query: dict[str, str], said: str) -> None:
    failed()
    response = staff.get(LIST, query)
    assert response.status_code == 200
    assert said in response.text
    assert "errornote" in response.text
    assert "Replay everything matching" not in response.text
    assert ids(response.text) == []


def test_an_empty_list_says_what_to_do(staff: Client) -> None:
    assert "outbox.api.enqueue" in staff.get(LIST).text
    failed()
    assert "Take a filter away" in staff.get(LIST, {"tenant": "nobody"}).text


def test_the_list_is_gone_through_forth_and_back(staff: Client, short_pages: None) -> None:
    rows = [failed(second).pk for second in range(5)][::-1]
    pages: list[list[int]] = []
    query: dict[str, str] | None = {"status__exact": "failed", "tenant": "acme"}
    while query is not None:
        page = staff.get(LIST, query).text
        pages.append(ids(page))
        query = link(page, "Older")
    assert pages == [rows[:2], rows[2:4], rows[4:]]
    query = link(page, "Newer")
    assert query is not None
    assert (query["status__exact"], query["tenant"]) == ("failed", "acme")
    page = staff.get(LIST, query).text
    assert ids(page) == rows[2:4]
    assert link(page, "Newest") == {"status__exact": "failed", "tenant": "acme"}


def test_a_page_says_how_far_it_looked(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "MOST_LOOKED_AT", 3)
    wanted = event(0, topic="rare")
    for second in range(1, 6):
        event(second)
    page = staff.get(LIST, {"tenant": "acme", "topic": "rare"}).text
    assert ids(page) == []
    assert "Looked as far as" in page
    assert "None found so far" in page
    query = link(page, "Older: look further back")
    assert query is not None
    assert listed(staff, **query) == [wanted.pk]


def test_a_partition_key_is_looked_for_a_day_at_a_time(staff: Client) -> None:
    wanted = event(partition_key="17")
    page = staff.get(LIST, {"tenant": "acme", "partition_key": "17"}).text
    assert "a day of the tenant&#x27;s is looked through" in page or "a day of the tenant's is looked through" in page
    query = link(page, "Older: look further back")
    assert query is not None
    assert listed(staff, **query) == [wanted.pk]


def test_what_was_asked_stays_in_the_form(staff: Client) -> None:
    page = staff.get(LIST, {"tenant": "acme", "status__exact": "failed", "topic": "<b>"}).text
    assert 'name="tenant" value="acme"' in page
    assert '<option value="failed" selected>' in page
    assert "&lt;b&gt;" in page


def test_staff_limited_to_tenants_find_and_pass_no_others(client: Client, short_pages: None) -> None:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_outboxevent"))
    for tenant in ("acme", "beta"):
        StaffTenantScope.objects.create(user=user, tenant_id=tenant)
    client.force_login(user)
    hidden = failed(9, tenant_id="midas", dedupe_key="order-17")
    own = [failed(second, tenant_id=tenant).pk for tenant in ("acme", "beta") for second in (1, 2)]
    for query in ({}, {"status__exact": "failed"}, {"error_class": "topic"}):
        page = client.get(LIST, query).text
        assert ids(page) == [own[3], own[2]]
        assert "midas" not in page
        older = link(page, "Older")
        assert older is not None
        assert listed(client, **older) == [own[1], own[0]]
    for query in ({"tenant": "midas"}, {"id": str(hidden.pk)}, {"tenant": "midas", "dedupe_key": "order-17"}):
        assert listed(client, **query) == []


def test_the_page_has_no_inline_script_or_style(staff: Client) -> None:
    row = failed()
    for path in (LIST, f"{LIST}?tenant=a:b", f"{LIST}{row.pk}/change/"):
        page = staff.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bonclick=", page)


def test_the_list_counts_nothing_and_reads_no_payload(staff: Client) -> None:
    failed()
    for query in ({}, {"status__exact": "failed"}, {"tenant": "acme"}, {"topic": "orders"}, {"q": "acme"}):
        about_events = statements(staff, query)
        assert not [each for each in about_events if "COUNT(" in each.upper() or '"payload"' in each]


@pytest.mark.parametrize("query", [{}, {"status__exact": "failed"}, {"tenant": "acme"}, {"topic": "rare"}])
def test_the_list_asks_as_often_for_many_events_as_for_few(staff: Client, query: dict[str, str]) -> None:
    failed()
    few = len(statements(staff, query))
    for second in range(300):
        failed(second)
    assert len(statements(staff, query)) == few


def statements(staff: Client, query: dict[str, str]) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert staff.get(LIST, query).status_code == 200
    found = [each["sql"] for each in queries if "outbox_events" in each["sql"]]
    assert found
    return found
