from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.tasks import async_task

from somabrain.models import QueuedWrite, WebhookDelivery
from tests.support.database import fingerprint

pytestmark = pytest.mark.django_db

LIST = reverse("admin:somabrain_queuedwrite_changelist")
NOW = timezone.now()


@pytest.fixture(autouse=True)
def writes() -> None:
    for event_id, (tenant_id, rejected_at) in enumerate([("acme", None), ("globex", timezone.now())], start=1):
        QueuedWrite.objects.create(
            event_id=event_id,
            tenant_id=tenant_id,
            namespace="notes",
            key="tea",
            version=7,
            rejected_at=rejected_at,
            reason="The memory refused (http_404)." if rejected_at else "",
        )


def test_staff_see_what_waits_and_why_it_was_refused(admin_client: Client) -> None:
    text = admin_client.get(LIST).text
    assert "acme" in text
    assert "The memory refused (http_404)." in text


def test_staff_find_a_tenants_writes_and_those_that_were_refused(admin_client: Client) -> None:
    found = admin_client.get(LIST, {"q": "acme"}).text
    assert "http_404" not in found
    refused = admin_client.get(LIST, {"rejected_at__isempty": "0"}).text
    assert "globex" in refused
    assert "acme" not in refused


def test_nobody_changes_a_queued_write_by_hand(admin_client: Client) -> None:
    assert admin_client.get(reverse("admin:somabrain_queuedwrite_add")).status_code == 403
    page = reverse("admin:somabrain_queuedwrite_change", args=[1])
    assert admin_client.get(page).status_code == 200
    assert admin_client.post(page, {"tenant_id": "globex"}).status_code == 403
    assert admin_client.post(reverse("admin:somabrain_queuedwrite_delete", args=[1])).status_code == 403


def test_writes_are_searched_by_index(admin_client: Client) -> None:
    def found(**asked: str) -> list[str]:
        return re.findall(r'field-tenant_id">([^<]+)<', admin_client.get(LIST, asked).text)

    assert found(q="globex notes tea") == found(q="globex notes") == found(q=" globex ") == ["globex"]
    assert found(q="tea") == found(q="glob") == found(q="GLOBEX") == found(q="globex notes tea time") == []
    assert found() == ["acme", "globex"]
    searched = [each["sql"] for each in queries(admin_client, LIST, q="globex notes tea")]
    assert any("\"key\" = 'tea'" in each for each in searched)
    assert not [each for each in searched if "LIKE" in each or "UPPER" in each]


def test_a_delivery_is_found_by_its_whole_key(admin_client: Client) -> None:
    for key in ("acme-1", "acme 2"):
        WebhookDelivery.objects.create(tenant_id="acme", kind="paid", delivery_key=key)
    page = reverse("admin:somabrain_webhookdelivery_changelist")

    def found(**asked: str) -> list[str]:
        return re.findall(r'field-delivery_key">([^<]+)<', admin_client.get(page, asked).text)

    assert found(q="acme-1 ") == ["acme-1"]
    assert found(q="acme 2") == ["acme 2"]
    assert found(q="acme") == []
    assert len(found()) == 2


@pytest.mark.parametrize("name", ["schedule", "success", "failure", "ormq"])
def test_pages_of_django_q_change_nothing(admin_client: Client, name: str) -> None:
    task: dict[str, Any] = {"name": "a task", "func": "math.copysign", "started": NOW, "stopped": NOW}
    rows: dict[str, Any] = {
        "schedule": Schedule.objects.create(name="a task", func="math.copysign"),
        "success": Success.objects.create(id=uuid4().hex, success=True, **task),
        "failure": Failure.objects.create(id=uuid4().hex, success=False, result="boom", **task),
        "ormq": waiting(),
    }
    before = fingerprint(["django_q_task", "django_q_schedule", "django_q_ormq"])
    key, page = rows[name].pk, f"/admin/django_q/{name}/"
    assert "a task" in admin_client.get(page).text
    assert 'name="action"' not in admin_client.get(page).text
    assert admin_client.get(f"{page}{key}/change/").status_code == 200
    for action in ("resubmit_task", "delete_selected"):
        admin_client.post(page, {"action": action, "_selected_action": [key], "post": "yes"})
    for rest in ("add/", f"{key}/change/", f"{key}/delete/"):
        assert admin_client.post(page + rest, {"post": "yes", "name": "another"}).status_code == 403
    assert fingerprint(["django_q_task", "django_q_schedule", "django_q_ormq"]) == before


def waiting() -> OrmQ:
    async_task("math.copysign", 1, 2, task_name="a task")
    return OrmQ.objects.latest("pk")


def queries(client: Client, page: str, **asked: str) -> list[dict[str, str]]:
    with CaptureQueriesContext(connection) as found:
        client.get(page, asked)
    return found.captured_queries
