"""What a page of the admin asks the database: as often for everybody and at every size, and seldom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
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
from tests.support.budgets import counted

pytestmark = pytest.mark.django_db

OURS = ("outbox", "circuits", "somabrain")
# A proxy is a page of its own.
MODELS = [model for model in admin.site._registry if model._meta.app_label in OURS and not model._meta.proxy]
LIST_BUDGET, PAGE_BUDGET, OVERVIEW_BUDGET, FRAGMENT_BUDGET = 5, 6, 6, 4
MANY = 60
FEW = 2


def tenant(number: int) -> str:
    return f"tenant-{number:03d}"


def an_event(number: int) -> OutboxEvent:
    return OutboxEvent.objects.create(
        tenant_id=tenant(number),
        topic="orders",
        dedupe_key=uuid4().hex,
        payload={"n": number},
        status=EventStatus.FAILED,
        error_class="topic",
        last_error="Unknown topic",
    )


def an_attempt(number: int) -> OutboxAttempt:
    row = an_event(number)
    return OutboxAttempt.objects.create(event=row, relay_id=uuid4(), error_class="topic", code=3, message="Unknown")


def an_action(number: int) -> OperatorAction:
    return OperatorAction.objects.create(
        actor="ann", source="admin", verb="replay", tenants=[tenant(number)], filter={"tenant": tenant(number)}
    )


def a_transition(number: int) -> CircuitTransition:
    return CircuitTransition.objects.create(
        tenant_id=tenant(number), name="publish", from_state="closed", to_state="open", why="failures", epoch=1
    )


def a_scope(number: int) -> StaffTenantScope:
    user = User.objects.create_user(f"user-{number}")
    return StaffTenantScope.objects.create(user=user, tenant_id=tenant(number))


def a_count(number: int) -> BacklogCount:
    return BacklogCount.objects.update_or_create(
        defaults={"taken_at": timezone.now(), "next_at": timezone.now() + timedelta(hours=1)}
    )[0]


MAKE: dict[type[Model], Callable[[int], Model]] = {
    OutboxEvent: an_event,
    OutboxAttempt: an_attempt,
    OperatorAction: an_action,
    CircuitTransition: a_transition,
    StaffTenantScope: a_scope,
    BacklogCount: a_count,
    OutboxJob: lambda number: OutboxJob.objects.create(
        verb="replay", reason="x", requested_by="ann", source="admin", tenants=[tenant(number)]
    ),
    OutboxLane: lambda number: OutboxLane.objects.create(tenant_id=tenant(number)),
    OutboxRelay: lambda number: OutboxRelay.objects.create(host="host", pid=number, version="0.1.0"),
    TenantPolicy: lambda number: TenantPolicy.objects.create(tenant_id=tenant(number)),
    TenantBacklog: lambda number: TenantBacklog.objects.create(tenant_id=tenant(number), taken_at=timezone.now()),
    TenantCircuit: lambda number: TenantCircuit.objects.create(tenant_id=tenant(number), name="publish"),
    WebhookDelivery: lambda number: WebhookDelivery.objects.create(
        tenant_id=tenant(number), kind="paid", delivery_key=uuid4().hex
    ),
    QueuedWrite: lambda number: QueuedWrite.objects.create(
        event_id=number + 1, tenant_id=tenant(number), namespace="a", key=str(number), version=1
    ),
}


def test_every_model_of_ours_is_known_here() -> None:
    assert set(MODELS) == set(MAKE)


@pytest.fixture
def roles() -> list[User]:
    """Somebody who may do everything, somebody with all rights given singly, and one who is limited to tenants."""
    rights = Permission.objects.filter(content_type__app_label__in=OURS)
    roles = [User.objects.create_superuser("ann")]
    for name in ("bob", "eve"):
        user = User.objects.create_user(name, is_staff=True)
        user.user_permissions.set(rights)
        roles.append(user)
    StaffTenantScope.objects.bulk_create(
        StaffTenantScope(user=roles[2], tenant_id=tenant(number)) for number in range(MANY)
    )
    return roles


def asked(client: Client, user: User, path: str) -> list[str]:
    client.force_login(user)
    with CaptureQueriesContext(connection) as queries:
        response = client.get(path)
    # What belongs to no tenant is hidden from those who are limited to some.
    assert response.status_code in (200, 403, 404) if user.username == "eve" else response.status_code == 200
    return counted(queries)


def assert_within(budget: int, client: Client, roles: list[User], model: type[Model], rest: str = "") -> None:
    """At both sizes; `{pk}` in `rest` is a row's."""
    seen: dict[str, set[int]] = {}
    for first, last in ((0, FEW), (FEW, MANY)):
        pk, *_ = [MAKE[model](number).pk for number in range(first, last)]
        # A process asks for the types of content once.
        asked(client, roles[0], path(model, rest.format(pk=pk)))
        for user in roles:
            found = asked(client, user, path(model, rest.format(pk=pk)))
            assert len(found) <= budget, "\n".join(found)
            seen.setdefault(user.username, set()).add(len(found))
    assert len(seen["ann"]) == 1, seen
    assert seen["bob"] == seen["ann"], "\n".join(found)
    assert max(seen["eve"]) <= max(seen["ann"])


def assert_as_often(budget: int, client: Client, roles: list[User], path: str) -> None:
    """With few tenants and with many; whoever is limited to some is shown less."""
    seen: dict[str, set[int]] = {}
    for first, last in ((0, FEW), (FEW, MANY)):
        for number in range(first, last):
            for make in (an_event, an_attempt, an_action, MAKE[TenantBacklog], MAKE[TenantPolicy], MAKE[TenantCircuit]):
                make(number)
        a_count(0)
        asked(client, roles[0], path)
        for user in roles:
            found = asked(client, user, path)
            assert len(found) <= budget, "\n".join(found)
            seen.setdefault(user.username, set()).add(len(found))
    assert {len(each) for each in seen.values()} == {1}, seen
    assert seen["bob"] == seen["ann"], seen
    assert max(seen["eve"]) <= max(seen["ann"]), seen


def path(model: type[Model], rest: str = "") -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/{rest}"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_list_keeps_to_its_budget(client: Client, roles: list[User], model: type[Model]) -> None:
    assert_within(LIST_BUDGET, client, roles, model)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_page_keeps_to_its_budget(client: Client, roles: list[User], model: type[Model]) -> None:
    assert_within(PAGE_BUDGET, client, roles, model, "{pk}/change/")


@pytest.mark.parametrize(
    ("page", "budget"),
    [
        ("/admin/", OVERVIEW_BUDGET),
        ("/admin/outbox/overview/", OVERVIEW_BUDGET),
        ("/admin/outbox/overview/live/figures/", FRAGMENT_BUDGET),
        ("/admin/outbox/overview/live/charts/", FRAGMENT_BUDGET),
        ("/admin/outbox/tenant/tenant-001/", PAGE_BUDGET),
        ("/admin/outbox/tenant/tenant-001/live/figures/", FRAGMENT_BUDGET),
        ("/admin/outbox/tenant/tenant-001/live/charts/", FRAGMENT_BUDGET),
    ],
)
def test_what_refreshes_itself_keeps_to_its_budget(client: Client, roles: list[User], page: str, budget: int) -> None:
    assert_as_often(budget, client, roles, page)


def test_the_figures_of_a_job_keep_to_the_budget_of_a_fragment(client: Client, roles: list[User]) -> None:
    assert_within(FRAGMENT_BUDGET, client, roles, OutboxJob, "{pk}/figures/")


def test_steering_a_job_keeps_to_the_budget_of_a_page(client: Client, roles: list[User]) -> None:
    assert_within(PAGE_BUDGET, client, roles, OutboxJob, "{pk}/move/pause/")


def test_groups_of_dead_letters_keep_to_the_budget_of_a_list(client: Client, roles: list[User]) -> None:
    assert_as_often(LIST_BUDGET, client, roles, path(OutboxJob, "dead-letters/"))
