"""Stock lists and pages say times and numbers as the other pages do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from circuits.console.times import number
from circuits.models import CircuitTransition, TenantCircuit

pytestmark = pytest.mark.django_db

LIST = "/admin/circuits/tenantcircuit/"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TOLD = re.compile(
    r'<time datetime="2026-01-02T03:04:05\+00:00" data-clock="second"[^>]*>[^<]+</time> <span class="age">'
)


@pytest.fixture
def circuit() -> TenantCircuit:
    return TenantCircuit.objects.create(
        tenant_id="acme",
        name="memory",
        failures=12_345,
        trips=1_234,
        opened_at=AT,
        epoch=99_999,
        failure_threshold=5_000,
    )


def looker(client: Client) -> Client:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_tenantcircuit", "view_circuittransition"]))
    client.force_login(user)
    return client


def editor(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def cell(text: str, name: str) -> str:
    (found,) = re.findall(rf'<td class="field-{name}[^"]*">(.*?)</td>', text)
    return str(found)


def line(text: str, name: str) -> str:
    found = re.search(rf'field-{name}">.*?<div class="readonly">(.*?)</div>', text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("who", [looker, editor])
def test_numbers_in_a_list_have_separators(client: Client, circuit: TenantCircuit, who: Any) -> None:
    text = who(client).get(LIST).text
    assert (cell(text, "failures"), cell(text, "trips")) == ("12,345", "1,234")
    threshold = cell(text, "failure_threshold")
    assert threshold == "5,000" if who is looker else 'value="5000"' in threshold


@pytest.mark.parametrize("who", [looker, editor])
def test_a_page_says_times_with_their_age_and_names_as_they_are(
    client: Client, circuit: TenantCircuit, who: Any
) -> None:
    text = who(client).get(f"{LIST}{circuit.pk}/change/").text
    assert TOLD.search(line(text, "opened_at"))
    assert (line(text, "failures"), line(text, "epoch")) == ("12,345", "99999")
    assert "circuits/times.js" in text


def test_a_row_that_nobody_edits_says_when_it_was(client: Client) -> None:
    change = {"from_state": "closed", "to_state": "open", "why": "failures", "epoch": 1, "at": AT}
    row = CircuitTransition.objects.create(tenant_id="acme", name="memory", **change)
    text = editor(client).get("/admin/circuits/circuittransition/").text
    assert TOLD.search(text)
    assert TOLD.search(client.get(f"/admin/circuits/circuittransition/{row.pk}/change/").text)


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "\N{EN DASH}"), (0, "0"), (38_001, "38,001"), (1_480.5, "1,480.5"), (0.25, "0.25"), (-192, "-192")],
)
def test_numbers_are_written_as_they_are(value: float | None, said: str) -> None:
    assert number(value) == said
