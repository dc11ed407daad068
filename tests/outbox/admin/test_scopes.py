"""Limits of staff: who sets them, for whom, and what is recorded of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from circuits.models import StaffTenantScope
from outbox.models import OperatorAction
from tests.support.confirming import confirm

pytestmark = pytest.mark.django_db

LIST = "/admin/circuits/stafftenantscope/"


def member(name: str, *tenants: str, administers: bool = False) -> User:
    user = User.objects.create_user(name, is_staff=True)
    if administers:
        user.user_permissions.add(*Permission.objects.filter(content_type__model="stafftenantscope"))
    StaffTenantScope.objects.bulk_create(StaffTenantScope(user=user, tenant_id=each) for each in tenants)
    return user


@pytest.fixture
def ann(client: Client) -> Client:
    client.force_login(member("ann", administers=True))
    return client


def add(staff: Client, user: User, tenant: str, reason: str = "their team") -> Any:
    return confirm(staff, f"{LIST}add/", {"user": user.pk, "tenant_id": tenant, "reason": reason})


def delete(staff: Client, row: StaffTenantScope, **fields: str) -> Any:
    return staff.post(f"{LIST}{row.pk}/delete/", {"post": "yes", **fields})


def tenants(user: User) -> list[str]:
    return sorted(StaffTenantScope.objects.filter(user=user).values_list("tenant_id", flat=True))


def test_a_limit_is_added_for_a_reason_and_recorded(ann: Client) -> None:
    bob = member("bob", "acme")
    assert add(ann, bob, "globex", reason=" ").status_code == 200
    assert add(ann, bob, "globex").status_code == 302
    assert tenants(bob) == ["acme", "globex"]
    action = OperatorAction.objects.get()
    assert (action.actor, action.verb, action.reason, action.address) == ("ann", "add_scope", "their team", "127.0.0.1")
    assert (action.filter, action.before, action.after) == (
        {"user": "bob"},
        {"tenants": ["acme"]},
        {"tenants": ["acme", "globex"]},
    )
    assert list(OperatorAction.objects.of_tenant("globex")) == [action]
    assert not OperatorAction.objects.within(["acme", "globex"]).exists()


@pytest.mark.parametrize("tenant", ["*", "a:b", "", "x" * 65])
def test_only_tenants_can_be_a_limit(ann: Client, tenant: str) -> None:
    bob = member("bob")
    assert add(ann, bob, tenant).status_code == 200
    assert tenants(bob) == []


def test_a_limit_that_is_not_the_last_is_deleted_for_a_reason(ann: Client) -> None:
    bob = member("bob", "acme", "globex")
    row = StaffTenantScope.objects.get(tenant_id="globex")
    assert "stays limited to the other tenants" in ann.get(f"{LIST}{row.pk}/delete/").text
    delete(ann, row, reason=" ")
    assert tenants(bob) == ["acme", "globex"]
    delete(ann, row, reason="moved")
    assert tenants(bob) == ["acme"]
    action = OperatorAction.objects.get()
    assert (action.verb, action.before, action.after) == (
        "delete_scope",
        {"tenants": ["acme", "globex"]},
        {"tenants": ["acme"]},
    )


def test_the_last_one_is_deleted_only_by_whoever_says_that_it_lifts_the_limit(ann: Client) -> None:
    bob = member("bob", "acme")
    row = StaffTenantScope.objects.get()
    page = ann.get(f"{LIST}{row.pk}/delete/").text
    assert "Without it there is no limit" in page
    assert "bob may see all tenants from now on" in page
    delete(ann, row, reason="a promotion")
    assert tenants(bob) == ["acme"]
    delete(ann, row, reason="a promotion", unlimited="on")
    assert tenants(bob) == []
    assert OperatorAction.objects.get().after == {"tenants": []}


def test_nobody_sets_limits_of_their_own(ann: Client) -> None:
    ann_herself = User.objects.get(username="ann")
    assert add(ann, ann_herself, "acme").status_code == 200
    assert tenants(ann_herself) == []


@pytest.mark.parametrize("own", [True, False])
def test_whoever_is_limited_sees_and_changes_no_limits(client: Client, own: bool) -> None:
    eve, bob = member("eve", "acme", administers=True), member("bob", "acme", "globex")
    client.force_login(eve)
    row = StaffTenantScope.objects.filter(user=eve if own else bob).first()
    assert row is not None
    assert client.get(LIST).status_code == 403
    assert "Staff tenant scopes" not in client.get("/admin/").text
    assert client.get(f"{LIST}{row.pk}/change/").status_code == 404
    assert delete(client, row, reason="x", unlimited="on").status_code == 404
    assert add(client, bob, "acme").status_code == 403
    assert (tenants(eve), tenants(bob)) == (["acme"], ["acme", "globex"])


def test_superusers_are_not_limited_and_need_no_limit(ann: Client) -> None:
    root = User.objects.create_superuser("root")
    assert add(ann, root, "acme").status_code == 200
    assert tenants(root) == []


def test_limits_are_found_by_user_and_by_tenant_and_not_changed(ann: Client) -> None:
    member("bob", "acme"), member("eve", "globex")
    assert "globex" not in ann.get(LIST, {"q": "bob"}).text
    assert "eve" in ann.get(LIST, {"q": "globex"}).text
    row = StaffTenantScope.objects.get(tenant_id="acme")
    page = f"{LIST}{row.pk}/change/"
    assert ann.get(page).status_code == 200
    assert ann.post(page, {"tenant_id": "initech", "user": row.user_id, "reason": "x"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    ann.post(LIST, action)
    assert StaffTenantScope.objects.count() == 2
