"""Pages that save nothing before somebody has seen what would change."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from circuits.models import CircuitTransition, StaffTenantScope, TenantCircuit
from circuits.policy import THRESHOLDS
from tests.support.confirming import hidden

pytestmark = pytest.mark.django_db

LIST = "/admin/circuits/tenantcircuit/"
EMPTY = dict.fromkeys(THRESHOLDS, "")


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def store(**fields: Any) -> TenantCircuit:
    return TenantCircuit.objects.create(**{"tenant_id": "acme", "name": "memory", **fields})


def page(circuit: TenantCircuit) -> str:
    return f"{LIST}{circuit.pk}/change/"


def test_thresholds_are_shown_and_not_saved_before_that_is_confirmed(staff: Client) -> None:
    circuit = store(failure_threshold=3, decay=5)
    edits = {**EMPTY, "failure_threshold": "9", "mode": "rate", "decay": "5", "reason": "they are slow"}
    asked = staff.post(page(circuit), {**edits, "_save": "Save"}).text
    assert "Nothing is saved yet." in asked
    assert "acme memory: mode default → rate, failure threshold 3 → 9" in " ".join(asked.split())
    assert 'value="they are slow"' in asked
    assert not CircuitTransition.objects.exists()
    done = staff.post(page(circuit), {**hidden(asked), "reason": "they are slow indeed"})
    assert done["Location"] == LIST
    assert TenantCircuit.objects.values_list("failure_threshold", "mode", "decay").get() == (9, "rate", 5)
    assert CircuitTransition.objects.get().reason.startswith("they are slow indeed")


def test_what_was_confirmed_is_asked_again_if_somebody_has_changed_it_meanwhile(staff: Client) -> None:
    circuit = store(failure_threshold=3)
    edits = {**EMPTY, "failure_threshold": "9", "reason": "they are slow"}
    asked = staff.post(page(circuit), edits).text
    assert "Look again." not in asked
    TenantCircuit.objects.update(decay=7)
    again = staff.post(page(circuit), {**hidden(asked), "reason": "they are slow"}).text
    assert "Somebody has changed something since you were asked." in again
    assert "failure threshold 3 → 9, decay 7 → default" in " ".join(again.split())
    assert TenantCircuit.objects.values_list("failure_threshold", "decay").get() == (3, 7)


@pytest.mark.parametrize("reason", ["", " "])
def test_a_reason_that_is_taken_away_is_asked_for_again(staff: Client, reason: str) -> None:
    circuit = store()
    asked = staff.post(page(circuit), {**EMPTY, "failure_threshold": "9", "reason": "they are slow"}).text
    assert "Say why" in staff.post(page(circuit), {**hidden(asked), "reason": reason}).text
    assert not CircuitTransition.objects.exists()


def test_what_would_change_nothing_is_not_asked_about(staff: Client) -> None:
    circuit = store(failure_threshold=9)
    done = staff.post(page(circuit), {**EMPTY, "failure_threshold": "9", "reason": "the same"}, follow=True)
    assert "Nothing was changed: all of it is so already." in done.text
    assert not CircuitTransition.objects.exists()


def test_a_circuit_is_added_after_it_was_shown(staff: Client) -> None:
    fields = {**EMPTY, "tenant_id": "acme", "name": "memory", "mode": "rate", "reason": "new"}
    asked = staff.post(f"{LIST}add/", fields).text
    assert "acme memory: tenant id acme, name memory, mode rate" in " ".join(asked.split())
    assert not TenantCircuit.objects.exists()
    staff.post(f"{LIST}add/", {**hidden(asked), "reason": "new"})
    assert TenantCircuit.objects.get().mode == "rate"


def test_a_limit_is_added_after_it_was_shown(staff: Client) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    page = "/admin/circuits/stafftenantscope/add/"
    asked = staff.post(page, {"user": bob.pk, "tenant_id": "acme", "reason": "their team"}).text
    assert "bob: acme: user bob, tenant id acme" in " ".join(asked.split())
    assert not StaffTenantScope.objects.exists()
    staff.post(page, {**hidden(asked), "reason": "their team"})
    assert StaffTenantScope.objects.get().user == bob


def test_it_leads_back_to_the_list_as_it_was_filtered(staff: Client) -> None:
    circuit = store()
    address = f"{page(circuit)}?_changelist_filters=q%3Dacme"
    asked = staff.post(address, {**EMPTY, "failure_threshold": "9", "reason": "x"}).text
    assert f'href="{address}" class="closelink"' in asked
    assert staff.post(address, {**hidden(asked), "reason": "x"})["Location"] == f"{LIST}?q=acme"


@pytest.mark.parametrize(("back", "leads_to"), [("/admin/?span=1h", "/admin/?span=1h"), ("//evil.example/", LIST)])
def test_it_leads_back_to_the_page_of_this_host_that_it_came_from(staff: Client, back: str, leads_to: str) -> None:
    address = f"{page(store())}?back={back}"
    asked = staff.post(address, {**EMPTY, "failure_threshold": "9", "reason": "x"}).text
    assert staff.post(address, {**hidden(asked), "reason": "x"})["Location"] == leads_to


def test_whoever_may_not_is_not_even_asked(client: Client) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    bob.user_permissions.add(Permission.objects.get(codename="view_tenantcircuit"))
    client.force_login(bob)
    edits = {**EMPTY, "failure_threshold": "9", "reason": "x"}
    assert client.post(page(store()), edits).status_code == 403
    assert client.post(f"{LIST}add/", {**edits, "tenant_id": "acme", "name": "new"}).status_code == 403
