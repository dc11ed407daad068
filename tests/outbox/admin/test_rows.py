"""The rows in the admin: to be looked at, cheaply, and changed by nobody."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from circuits.console import lists
from outbox.api import enqueue
from outbox.models import (
    BacklogCount,
    EventStatus,
    OperatorAction,
    OutboxAttempt,
    OutboxEvent,
    OutboxJob,
    OutboxLane,
    OutboxRelay,
    Overview,
    Tenant,
    TenantBacklog,
    TenantPolicy,
)

pytestmark = pytest.mark.django_db

READ_ONLY = [
    OutboxEvent,
    OutboxAttempt,
    OutboxLane,
    OutboxRelay,
    TenantBacklog,
    BacklogCount,
    OperatorAction,
    OutboxJob,
]


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.fixture
def rows() -> dict[type[Any], Any]:
    """One of each, with an event that has seen everything."""
    event = OutboxEvent.objects.create(
        tenant_id="acme",
        topic="orders",
        partition_key="17",
        dedupe_key="order-17",
        payload={"note": "of the <customer>", "password": "hunter2"},
        headers={"source": "the-shop"},
        status=EventStatus.SCHEDULED,
        available_at=timezone.now() + timedelta(minutes=1),
        attempts=1,
        error_class="topic",
        last_error="Unknown topic",
    )
    return {
        OutboxEvent: event,
        OutboxAttempt: OutboxAttempt.objects.create(
            event=event, relay_id=uuid4(), error_class="topic", code=3, message="Unknown topic"
        ),
        OutboxLane: OutboxLane.objects.create(tenant_id="acme"),
        OutboxRelay: OutboxRelay.objects.create(host="host", pid=17, version="0.1.0"),
        TenantPolicy: TenantPolicy.objects.create(tenant_id="acme"),
        TenantBacklog: TenantBacklog.objects.create(tenant_id="acme", pending=1, taken_at=timezone.now()),
        BacklogCount: BacklogCount.objects.create(
            taken_at=timezone.now(), oldest_pending_at=timezone.now(), next_at=timezone.now()
        ),
        OperatorAction: OperatorAction.objects.create(actor="ann", source="admin", verb="replay", filter={"ids": [1]}),
        OutboxJob: OutboxJob.objects.create(verb="replay", reason="x", requested_by="ann", source="admin"),
    }


def path(model: type[Any], rest: str = "") -> str:
    return f"/admin/outbox/{model._meta.model_name}/{rest}"


def listed(response: Any) -> list[str]:
    """Ids of the events on the page, in its order."""
    assert response.status_code == 200
    return re.findall(r'field-id"><a href="[^"]*/(\d+)/change/', response.text)


@pytest.mark.parametrize("model", [*READ_ONLY, TenantPolicy])
def test_every_model_has_a_list_and_a_page(staff: Client, rows: dict[type[Any], Any], model: type[Any]) -> None:
    assert staff.get(path(model)).status_code == 200
    assert staff.get(path(model, f"{rows[model].pk}/change/")).status_code == 200
    assert staff.get(path(model, "?q=acme")).status_code == 200


@pytest.mark.parametrize("model", READ_ONLY)
def test_rows_of_the_machinery_cannot_be_added_changed_or_deleted(
    staff: Client, rows: dict[type[Any], Any], model: type[Any]
) -> None:
    row = rows[model]
    assert staff.get(path(model, "add/")).status_code == 403
    assert staff.post(path(model, f"{row.pk}/change/"), {"status": "sent"}).status_code == 403
    assert staff.post(path(model, f"{row.pk}/delete/"), {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}
    staff.post(path(model), action)
    assert model._default_manager.filter(pk=row.pk).exists()


def test_strangers_and_staff_without_permission_see_nothing(client: Client, rows: dict[type[Any], Any]) -> None:
    assert client.get(path(OutboxEvent)).status_code == 302
    client.force_login(User.objects.create_user("bob", is_staff=True))
    assert client.get(path(OutboxEvent)).status_code == 403


def test_the_payload_stands_on_the_events_own_page_only(staff: Client, rows: dict[type[Any], Any]) -> None:
    assert "of the" not in staff.get(path(OutboxEvent)).text
    page = staff.get(path(OutboxEvent, f"{rows[OutboxEvent].pk}/change/")).text
    assert "of the &lt;customer&gt;" in page
    assert "hunter2" not in page
    assert "the-shop" in page
    assert "Unknown topic" in page


def test_the_list_does_not_read_payloads_and_does_not_count(staff: Client, rows: dict[type[Any], Any]) -> None:
    with CaptureQueriesContext(connection) as queries:
        staff.get(path(OutboxEvent))
    about_events = [each["sql"] for each in queries if "outbox_events" in each["sql"]]
    assert about_events
    assert not any('"payload"' in statement for statement in about_events)
    assert not any("COUNT" in statement.upper() for statement in about_events)
    assert any("LIMIT 51" in statement for statement in about_events)


def test_the_newest_event_comes_first(staff: Client) -> None:
    ids = [str(enqueue(topic="orders", payload={}).event_id) for _ in range(3)]
    assert listed(staff.get(path(OutboxEvent))) == ids[::-1]


def test_a_list_ends_after_as_many_rows_as_it_says(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST_LISTED", 5)
    OutboxLane.objects.bulk_create(OutboxLane(tenant_id=f"tenant-{number}") for number in range(8))
    text = " ".join(staff.get(path(OutboxLane)).text.split())
    assert "5+ outbox lanes" in text
    assert "The list ends after 5. The search leads to what stands behind." in text
    assert "5+ results" in " ".join(staff.get(path(OutboxLane), {"q": "tenant"}).text.split())
    found = " ".join(staff.get(path(OutboxLane), {"q": "tenant-7"}).text.split())
    assert "1 outbox lane " in found
    assert "1 result (" in found
    assert "The list ends" not in found


def test_a_list_that_is_full_ends_with_its_last_row(staff: Client) -> None:
    def lanes(count: int) -> str:
        OutboxLane.objects.all().delete()
        OutboxLane.objects.bulk_create(OutboxLane(tenant_id=f"tenant-{number}") for number in range(count))
        return " ".join(staff.get(path(OutboxLane)).text.split())

    full, more = lanes(1_000), lanes(1_001)
    assert "1,000 outbox lanes" in full
    assert "The list ends" not in full
    assert "1,000+ outbox lanes" in more
    assert "The list ends after 1,000." in more


def test_events_are_filtered_by_status(staff: Client, rows: dict[type[Any], Any]) -> None:
    pending = str(enqueue(topic="orders", payload={}).event_id)
    assert listed(staff.get(path(OutboxEvent, "?status__exact=pending"))) == [pending]
    assert listed(staff.get(path(OutboxEvent, "?status__exact=scheduled"))) == [str(rows[OutboxEvent].pk)]


def test_events_are_found_by_id_tenant_and_dedupe_key_in_one_text(staff: Client) -> None:
    def new(tenant_id: str, dedupe_key: str) -> str:
        result = enqueue(topic="orders", payload={}, tenant_id=tenant_id, dedupe_key=dedupe_key)
        return str(result.event_id)

    first, second, other = new("acme", "order-17 paid"), new("acme", "order-18"), new("globex", "order-17")

    def search(words: str) -> list[str]:
        return listed(staff.get(path(OutboxEvent), {"q": words}))

    assert search(second) == [second]
    assert search("acme") == [second, first]
    assert search("  acme   order-17 paid ") == [first]
    assert search("globex order-17") == [other]
    assert search("acme order-17") == []
    assert search("nobody") == []
    assert search("   ") == [other, second, first]


def test_attempts_are_found_by_their_event(staff: Client, rows: dict[type[Any], Any]) -> None:
    def hits(words: str) -> int:
        return len(listed(staff.get(path(OutboxAttempt), {"q": words})))

    assert (hits(str(rows[OutboxEvent].pk)), hits("0"), hits("topic"), hits("")) == (1, 0, 0, 1)


def test_all_models_of_the_outbox_are_registered() -> None:
    registered = {model for model in admin.site._registry if model._meta.app_label == "outbox"}
    assert registered == {*READ_ONLY, TenantPolicy, Overview, Tenant}
