from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from somabrain.models import QueuedWrite

pytestmark = pytest.mark.django_db

LIST = reverse("admin:somabrain_queuedwrite_changelist")


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
