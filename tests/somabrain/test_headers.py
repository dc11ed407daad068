"""What browsers are told to refuse, and that no page needs it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from circuits.models import CircuitTransition, StaffTenantScope, TenantCircuit
from outbox.models import (
    BacklogCount,
    EventStatus,
    OperatorAction,
    OutboxAttempt,
    OutboxEvent,
    OutboxJob,
    OutboxLane,
    OutboxRelay,
    TenantBacklog,
    TenantPolicy,
)
from somabrain.models import QueuedWrite, WebhookDelivery
from tests.support.admin_pages import addresses
from tests.support.markup import inline

pytestmark = pytest.mark.django_db

GIVEN = {
    "tenant_id": ["acme", "nobody"],
    "verb": [
        *("replay", "discard", "requeue", "pause", "resume"),
        *("force_open", "force_closed", "automatic", "reset"),
    ],
    "action": ["pause", "resume", "cancel"],
}


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


@pytest.fixture
def rows() -> dict[type[Model], Model]:
    """In trouble of every kind, so that every part of a page is shown."""
    now = timezone.now()
    event = OutboxEvent.objects.create(
        tenant_id="acme",
        topic="orders",
        payload={"a": "<b>"},
        status=EventStatus.FAILED,
        attempts=1,
        error_class="topic",
    )
    found: list[Model] = [
        event,
        OutboxAttempt.objects.create(event=event, relay_id=uuid4(), error_class="topic", code=3, message="<i>"),
        OutboxLane.objects.create(tenant_id="acme"),
        OutboxRelay.objects.create(host="host", pid=17, version="0.1.0"),
        TenantPolicy.objects.create(tenant_id="acme", paused=True, paused_by="ann", paused_reason="<script>"),
        TenantBacklog.objects.create(
            tenant_id="acme", pending=3, failed=1, oldest_pending_at=now, taken_at=now, scheduled=1
        ),
        BacklogCount.objects.update_or_create(defaults={"taken_at": now, "pending": 3, "tenants": 1, "next_at": now})[
            0
        ],
        OperatorAction.objects.create(actor="ann", source="admin", verb="pause", tenants=["acme"], filter={"ids": [1]}),
        TenantCircuit.objects.create(tenant_id="acme", name="publish", state="open", open_until=now),
        CircuitTransition.objects.create(
            tenant_id="acme", name="publish", from_state="closed", to_state="open", why="failures", epoch=1
        ),
        OutboxJob.objects.create(verb="replay", reason="<u>", requested_by="ann", source="admin", state="running"),
        StaffTenantScope.objects.create(user=User.objects.create_user("bob"), tenant_id="acme"),
        QueuedWrite.objects.create(event_id=1, tenant_id="acme", namespace="a", key="k", version=1),
        WebhookDelivery.objects.create(tenant_id="acme", kind="paid", delivery_key="<k>"),
        Group.objects.create(name="readers"),
        User.objects.get_or_create(username="ann")[0],
    ]
    return {type(row): row for row in found}


def refused(response: Any) -> list[str]:
    """What is wrong with an answer."""
    wrong = []
    policy = response.headers.get("Content-Security-Policy", "")
    if "default-src 'none'" not in policy or "unsafe" in policy:
        wrong.append(f"policy {policy!r}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        wrong += inline(response.text)
    return wrong


def test_no_page_of_the_admin_needs_anything_inline(staff: Client, rows: dict[type[Model], Model]) -> None:
    asked = [
        f"/admin/outbox/outboxevent/decide/replay/?ids={rows[OutboxEvent].pk}",
        "/admin/outbox/tenantpolicy/decide/pause/?tenant=acme",
        "/admin/outbox/tenantpolicy/decide/resume/?tenant=*",
        "/admin/outbox/overview/?span=24h",
        "/admin/outbox/tenant/?tenant=acme",
    ]
    paths = ["/admin/", "/admin/outbox/", "/admin/password_change/", *asked, *addresses(rows, given=GIVEN)]
    answers = {path: staff.get(path) for path in dict.fromkeys(paths)}
    shown = [path for path, answer in answers.items() if answer.status_code == 200]
    assert len(shown) > 60
    assert {path: wrong for path, answer in answers.items() if (wrong := refused(answer))} == {}


def test_questions_of_list_actions_need_nothing_inline(staff: Client, rows: dict[type[Model], Model]) -> None:
    asked = [
        ("outbox/outboxevent", "replay"),
        ("outbox/outboxevent", "discard"),
        ("outbox/tenantpolicy", "pause"),
        ("circuits/tenantcircuit", "force_open"),
        ("circuits/tenantcircuit", "set_thresholds"),
    ]
    keys = {row._meta.label_lower.replace(".", "/"): row.pk for row in rows.values()}
    for page, action in asked:
        answer = staff.post(f"/admin/{page}/", {"action": action, "_selected_action": [keys[page]]})
        assert (answer.status_code, refused(answer)) == (200, []), (page, action)


def test_whoever_is_not_signed_in_is_told_the_same(client: Client) -> None:
    for path in ("/admin/login/", "/healthz", "/metrics"):
        assert refused(client.get(path)) == []


def test_other_headers_are_as_strict(client: Client) -> None:
    headers = client.get("/admin/login/").headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "page",
    [
        "<p style='color: red'>",
        "<style>p {}</style>",
        "<script>alert(1)</script>",
        "<a href='javascript:alert(1)'>",
        "<p onclick='go()'>",
        "<img src='data:image/png;base64,AA'>",
        "<script src='//evil.example/a.js'></script>",
    ],
)
def test_what_is_inline_is_found(page: str) -> None:
    assert inline(page) != []


def test_what_is_allowed_is_not_complained_about() -> None:
    page = "<script src='/static/a.js'></script><script type='application/json'>{}</script><a href='https://x.example'>"
    assert inline(page) == []
