"""Thresholds that are edited in the list of circuits."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from circuits.models import CircuitTransition, TenantCircuit

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/circuits/tenantcircuit/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def store(tenant_id: str = "acme", **fields: Any) -> TenantCircuit:
    return TenantCircuit.objects.create(**{"tenant_id": tenant_id, "name": "memory", **fields})


def save_list(staff: Client, circuits: list[TenantCircuit], **fields: str) -> Any:
    rows: dict[str, str] = {
        "form-TOTAL_FORMS": str(len(circuits)),
        "form-INITIAL_FORMS": str(len(circuits)),
        "_save": "Save",
    }
    for number, circuit in enumerate(circuits):
        rows[f"form-{number}-id"] = str(circuit.pk)
        for name in ("failure_threshold", "reset_interval", "max_reset_interval", "half_open_probes"):
            value = getattr(circuit, name)
            rows[f"form-{number}-{name}"] = "" if value is None else str(value)
    return staff.post(LIST, {**rows, **fields})


def confirm_list(staff: Client, circuits: list[TenantCircuit], **fields: str) -> Any:
    """As the page that asks sends it again."""
    asked = save_list(staff, circuits, **fields).text
    assert not CircuitTransition.objects.exists()
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', asked))
    return staff.post(LIST, {**hidden, "reason": fields.get("reason", "they are slow")})


def test_thresholds_are_edited_in_the_list_and_confirmed_with_a_reason(staff: Client) -> None:
    circuits = [store(), store("globex", decay=5)]
    assert confirm_list(staff, circuits, **{"form-1-failure_threshold": "9"})["Location"] == LIST
    changed = TenantCircuit.objects.get(tenant_id="globex")
    assert (changed.failure_threshold, changed.decay) == (9, 5)
    told = CircuitTransition.objects.get()
    assert (told.by, told.reason) == ("ann", "they are slow (failure_threshold default -> 9)")


@pytest.mark.parametrize("reason", ["", " "])
def test_edits_in_the_list_are_shown_and_not_saved_without_a_reason(staff: Client, reason: str) -> None:
    circuits = [store(), store("globex", failure_threshold=3)]
    edits = {"form-1-failure_threshold": "9", "form-1-reset_interval": "5"}
    page = save_list(staff, circuits, **edits, reason="not asked yet").text
    assert "globex memory: failure threshold 3 → 9, reset interval default → 5" in page
    assert "acme memory" not in page
    assert "This field is required" in confirm_list(staff, circuits, **edits, reason=reason).text
    assert TenantCircuit.objects.get(tenant_id="globex").failure_threshold == 3
    assert not CircuitTransition.objects.exists()


def test_edits_in_the_list_lead_back_to_the_list_as_it_was_filtered(staff: Client) -> None:
    filtered = f"{LIST}?q=acme"
    rows = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": str(store().pk), "_save": "Save"}
    edits = {**rows, "form-0-failure_threshold": "9"}
    assert f'href="{filtered}" class="closelink"' in staff.post(filtered, edits).text
    done = staff.post(filtered, {**edits, "edits_confirmed": "yes", "reason": "x"})
    assert done["Location"] == filtered


def test_a_list_in_which_nothing_was_edited_asks_nothing(staff: Client) -> None:
    assert save_list(staff, [store()])["Location"] == LIST
    assert not CircuitTransition.objects.exists()


def test_editing_the_list_undoes_nothing_that_happened_meanwhile(staff: Client) -> None:
    circuit = store()
    TenantCircuit.objects.update(state="open", open_until=Now() + timedelta(hours=1), epoch=1, decay=7)
    confirm_list(staff, [circuit], **{"form-0-failure_threshold": "9"})
    now = TenantCircuit.objects.get()
    assert (now.state, now.epoch, now.decay, now.failure_threshold) == ("open", 1, 7, 9)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"failure_threshold": "0"}, "failure_threshold must be at least 1."),
        ({"reset_interval": "-1"}, "reset_interval must be above 0."),
        ({"reset_interval": "301"}, "reset_interval must be at most max_reset_interval=300 (the default)."),
    ],
)
@pytest.mark.parametrize("confirmed", [{}, {"edits_confirmed": "yes", "reason": "because"}])
def test_impossible_thresholds_are_refused(
    staff: Client, fields: dict[str, str], said: str, confirmed: dict[str, str]
) -> None:
    edits = {f"form-0-{name}": value for name, value in fields.items()}
    assert said in save_list(staff, [store()], **edits, **confirmed).text
    assert not CircuitTransition.objects.exists()
