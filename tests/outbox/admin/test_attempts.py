"""The list of failed attempts, for staff limited to some tenants."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from outbox.admin import attempt as attempt_admin
from outbox.models import OutboxAttempt
from outbox.operations import attempts
from tests.outbox.admin import people
from tests.outbox.operations.rows import failed

pytestmark = pytest.mark.django_db

LIST = "/admin/outbox/outboxattempt/"


@pytest.fixture
def otto(client: Client) -> Client:
    client.force_login(people.operator(tenants=("acme",)))
    return client


def attempt(tenant_id: str = "acme", **columns: Any) -> int:
    event = failed(tenant_id=tenant_id)
    return OutboxAttempt.objects.create(event=event, relay_id=uuid4(), error_class="topic", code=3, **columns).pk


def listed(staff: Client, **query: str) -> list[int]:
    found = re.findall(r'class="field-id"><a href="[^"]*/(\d+)/change/', staff.get(LIST, query).text)
    return [int(number) for number in found]


def test_the_latest_attempts_of_ones_own_tenants_come_first(otto: Client) -> None:
    first, _, last = attempt(), attempt("globex"), attempt()
    assert listed(otto) == [last, first]
    text = otto.get(LIST).text
    assert "2 outbox attempts" in text
    assert "globex" not in text
    assert "Looked as far as" not in text


def test_it_is_said_how_far_was_looked(otto: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    old, _, new = attempt(), attempt("globex"), attempt()
    monkeypatch.setattr(attempts, "MOST_LOOKED_AT", 2)
    assert listed(otto) == [new]
    assert "Looked as far as <time" in otto.get(LIST).text
    event_id = OutboxAttempt.objects.get(pk=old).event_id
    assert listed(otto, q=str(event_id)) == [old]


def test_pages_are_turned_and_filters_hold(otto: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.admin.attempt.AttemptAdmin.list_per_page", 2)
    made = [attempt() for _ in range(3)]
    odd = attempt(message="x")
    OutboxAttempt.objects.filter(pk=odd).update(error_class="poison")
    assert listed(otto) == [odd, made[2]]
    assert listed(otto, p="2") == [made[1], made[0]]
    assert listed(otto, error_class="poison") == [odd]


def test_another_tenants_attempt_is_not_found(otto: Client) -> None:
    own, foreign = attempt(), attempt("globex")
    assert otto.get(f"{LIST}{own}/change/").status_code == 200
    assert otto.get(f"{LIST}{foreign}/change/").status_code == 404
    assert listed(otto, q=str(OutboxAttempt.objects.get(pk=foreign).event_id)) == []


def test_the_page_of_an_attempt_leads_to_its_event_and_reads_no_payload(otto: Client) -> None:
    pk = attempt()
    event_id = OutboxAttempt.objects.get().event_id
    with CaptureQueriesContext(connection) as queries:
        page = otto.get(f"{LIST}{pk}/change/").text
    assert f'<a href="/admin/outbox/outboxevent/{event_id}/change/">{event_id}</a>' in page
    assert not [each["sql"] for each in queries if '"payload"' in each["sql"]]


def test_whoever_sees_no_events_is_led_to_none(client: Client) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    bob.user_permissions.add(Permission.objects.get(codename="view_outboxattempt"))
    client.force_login(bob)
    pk = attempt()
    page = client.get(f"{LIST}{pk}/change/").text
    assert "/admin/outbox/outboxevent/" not in page
    assert f">{OutboxAttempt.objects.get().event_id}<" in page


def test_ones_own_list_says_where_it_ends(otto: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_admin, "MOST_LISTED", 2)
    first, second = attempt(), attempt()
    page = " ".join(otto.get(LIST).text.split())
    assert "2 outbox attempts" in page
    assert "The list ends" not in page
    third = attempt()
    assert listed(otto) == [third, second]
    page = " ".join(otto.get(LIST).text.split())
    assert "2+ outbox attempts" in page
    assert "The list ends after 2. The search leads to what stands behind." in page
    assert listed(otto, q=str(OutboxAttempt.objects.get(pk=first).event_id)) == [first]
