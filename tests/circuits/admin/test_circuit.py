"""Circuits as staff see and steer them."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from circuits.admin import circuit as circuit_admin
from circuits.errors import StoreUnavailable
from circuits.models import CircuitTransition, StaffTenantScope, TenantCircuit
from circuits.policy import THRESHOLDS
from circuits.process import process
from tests.support.confirming import confirm, hidden

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/circuits/tenantcircuit/"
VERBS = ["force_open", "force_closed", "automatic", "reset"]


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def store(tenant_id: str = "acme", **fields: Any) -> TenantCircuit:
    return TenantCircuit.objects.create(**{"tenant_id": tenant_id, "name": "memory", **fields})


def opened(tenant_id: str = "acme") -> TenantCircuit:
    return store(tenant_id, state="open", open_until=Now() + timedelta(hours=1), trips=1)


def page(circuit: TenantCircuit) -> str:
    return f"{LIST}{circuit.pk}/change/"


def decide(circuit: TenantCircuit, verb: str) -> str:
    return f"{LIST}{circuit.pk}/decide/{verb}/"


def in_list(staff: Client, action: str, *circuits: TenantCircuit, **fields: str) -> Any:
    selected = [str(each.pk) for each in circuits]
    return staff.post(LIST, {"action": action, "_selected_action": selected, **fields})


def save(staff: Client, circuit: TenantCircuit, **fields: Any) -> str:
    """The page after pressing save and confirming it: empty when it was saved."""
    return str(confirm(staff, page(circuit), {**dict.fromkeys(THRESHOLDS, ""), **fields}).text)


def tenants(text: str) -> list[str]:
    return re.findall(r'class="field-tenant_id[^>]*><a[^>]*>([^<]+)<', text)


def test_the_list_shows_states_and_is_filtered_by_them(staff: Client) -> None:
    opened()
    store("globex", override="forced_closed")
    store("initech", state="open", open_until=Now() - timedelta(hours=1))
    assert tenants(staff.get(LIST).text) == ["acme", "globex", "initech"]
    for state, tenant in [("open", "acme"), ("forced_closed", "globex"), ("half_open", "initech")]:
        assert tenants(staff.get(LIST, {"visible_state": state}).text) == [tenant]


@pytest.mark.parametrize(
    ("search", "found"),
    [("ac", ["acme"]), ("memory", ["acme", "globex"]), ("globex memory", ["globex"]), ("acme publish", [])],
)
def test_the_list_is_searched_by_tenant_and_name(staff: Client, search: str, found: list[str]) -> None:
    store()
    store("globex")
    assert tenants(staff.get(LIST, {"q": search}).text) == found


def test_the_list_costs_the_same_for_one_circuit_and_for_many(
    staff: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    TenantCircuit.objects.bulk_create(TenantCircuit(tenant_id=f"t{number}", name="memory") for number in range(60))
    with django_assert_max_num_queries(7):
        staff.get(LIST)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"failure_threshold": "0"}, "failure_threshold must be at least 1."),
        ({"reset_interval": "0"}, "reset_interval must be above 0."),
        ({"reset_interval": "-1"}, "reset_interval must be above 0."),
        ({"reset_interval": "20", "max_reset_interval": "10"}, "reset_interval must be at most max_reset_interval=10."),
        ({"reset_interval": "301"}, "reset_interval must be at most max_reset_interval=300 (the default)."),
        ({"max_reset_interval": "29"}, "max_reset_interval must be at least reset_interval, which is 30 (the default)"),
        ({"mode": "guess"}, "guess is not one of the available choices"),
    ],
)
def test_impossible_thresholds_are_refused(staff: Client, fields: dict[str, str], said: str) -> None:
    circuit = store()
    assert said in save(staff, circuit, reason="because", **fields)
    assert not CircuitTransition.objects.exists()


def test_thresholds_change_for_a_reason(staff: Client) -> None:
    circuit = store()
    assert "Say why" in save(staff, circuit, failure_threshold="9")
    assert "Say why" in save(staff, circuit, failure_threshold="9", reason=" ")
    assert not CircuitTransition.objects.exists()
    assert save(staff, circuit, failure_threshold="9", reason="they retry themselves") == ""
    assert TenantCircuit.objects.get().failure_threshold == 9
    assert "they retry themselves (failure_threshold default -&gt; 9)" in staff.get(page(circuit)).text


def test_a_circuit_is_added_with_its_thresholds(staff: Client) -> None:
    fields = {**dict.fromkeys(THRESHOLDS, ""), "mode": "rate", "reason": "new"}
    refused = staff.post(f"{LIST}add/", {**fields, "tenant_id": "a:b", "name": "memory"}).text
    assert "up to 64 of A-Z" in refused
    named = {**fields, "tenant_id": "*", "name": "publish"}
    assert "Say why" in staff.post(f"{LIST}add/", {**named, "reason": ""}).text
    assert not TenantCircuit.objects.exists()
    confirm(staff, f"{LIST}add/", named)
    assert TenantCircuit.objects.values_list("tenant_id", "name", "mode").get() == ("*", "publish", "rate")


def test_the_page_shows_what_moved_it(staff: Client) -> None:
    circuit = opened()
    CircuitTransition.objects.create(
        tenant_id="acme",
        name="memory",
        from_state="closed",
        to_state="open",
        why="rate",
        failures=6,
        calls=11,
        epoch=1,
        error_code="<b>",
    )
    text = staff.get(page(circuit)).text
    assert "6 of 11" in text
    assert "&lt;b&gt;" in text
    assert [verb for verb in VERBS if decide(circuit, verb) in text] == VERBS


@pytest.mark.parametrize(
    ("verb", "state"),
    [("force_open", "forced_open"), ("force_closed", "forced_closed"), ("reset", "closed")],
)
def test_a_decision_asks_for_a_reason_and_is_recorded(staff: Client, verb: str, state: str) -> None:
    circuit = opened()
    assert "This field is required" in staff.post(decide(circuit, verb), {"reason": " "}).text
    assert not CircuitTransition.objects.exists()
    assert staff.post(decide(circuit, verb), {"reason": "maintenance"}).status_code == 302
    transition = CircuitTransition.objects.get()
    told = (transition.from_state, transition.to_state, transition.by, transition.reason)
    assert told == ("open", state, "ann", "maintenance")
    assert LogEntry.objects.get().object_id == str(circuit.pk)


@pytest.mark.parametrize(("back", "leads_to"), [("/admin/?span=1h", "/admin/?span=1h"), ("//evil.example/", "")])
def test_a_decision_leads_back_to_the_page_of_this_host_that_it_was_asked_from(
    staff: Client, back: str, leads_to: str
) -> None:
    circuit = opened()
    expected = leads_to or page(circuit)
    assert f'name="back" value="{expected}"' in staff.get(decide(circuit, "reset"), {"back": back}).text
    assert staff.post(decide(circuit, "reset"), {"reason": "x", "back": back})["Location"] == expected


def test_a_decision_on_its_page_keeps_the_list_that_led_there(staff: Client) -> None:
    circuit = opened()
    here = f"{page(circuit)}?_changelist_filters=q%3Dacme"
    (link,) = re.findall(r'href="([^"]+/decide/reset/[^"]*)"', staff.get(here).text)
    back = hidden(staff.get(html.unescape(link)).text)["back"]
    assert staff.post(decide(circuit, "reset"), {"reason": "x", "back": back})["Location"] == here
    assert confirm(staff, here, {**dict.fromkeys(THRESHOLDS, ""), "decay": "5", "reason": "x"})["Location"] == (
        f"{LIST}?q=acme"
    )


def test_looking_at_a_decision_decides_nothing(staff: Client) -> None:
    circuit = opened()
    for verb in VERBS:
        assert staff.get(decide(circuit, verb)).status_code == 200
    assert not CircuitTransition.objects.exists()


def test_what_is_forced_may_end_by_itself_but_not_in_the_past(staff: Client) -> None:
    circuit = store()
    later = timezone.now() + timedelta(hours=2)
    assert (
        "Must lie in the future"
        in staff.post(decide(circuit, "force_open"), {"reason": "x", "until": "2020-01-01T00:00"}).text
    )
    staff.post(decide(circuit, "force_open"), {"reason": "x", "until": later.strftime("%Y-%m-%dT%H:%M")})
    until = TenantCircuit.objects.get().override_until
    assert until is not None
    assert abs(until - later) < timedelta(minutes=1)


def named(verb: str, tenant: str = "acme", name: str = "publish", **more: str) -> str:
    return f"{LIST}decide/{verb}/?{urlencode({'tenant': tenant, 'name': name, **more})}"


@pytest.mark.parametrize(("verb", "state"), [("force_open", "forced_open"), ("force_closed", "forced_closed")])
def test_a_circuit_that_never_failed_is_forced_by_its_name(staff: Client, verb: str, state: str) -> None:
    address = named(verb, back="/admin/?span=1h")
    asked = staff.get(address).text
    assert "acme publish: never failed" in asked
    assert "This field is required" in staff.post(address, {"reason": " "}).text
    assert not TenantCircuit.objects.exists()
    assert staff.post(address, {"reason": "maintenance"})["Location"] == "/admin/?span=1h"
    circuit = TenantCircuit.objects.get()
    assert (circuit.tenant_id, circuit.name, circuit.override) == ("acme", "publish", state)
    transition = CircuitTransition.objects.get()
    assert (transition.by, transition.reason) == ("ann", "maintenance")
    assert LogEntry.objects.get().object_id == str(circuit.pk)
    assert f'href="{page(circuit)}">acme publish</a>' in staff.get(address).text
    assert staff.post(named(verb), {"reason": "again"})["Location"] == page(circuit)


@pytest.mark.parametrize(
    "address",
    [named("force_open", "a:b"), named("force_open", name=""), named("force_open", name="a b"), named("reset"),
     named("automatic"), named("set_thresholds"), f"{LIST}decide/force_open/"],
)  # fmt: skip
def test_what_can_be_no_circuit_is_not_found(staff: Client, address: str) -> None:
    assert staff.get(address).status_code == staff.post(address, {"reason": "x"}).status_code == 404
    assert not TenantCircuit.objects.exists()


def test_of_other_tenants_no_circuit_is_forced_by_its_name(client: Client) -> None:
    eve = User.objects.create_user("eve", is_staff=True)
    rights = ("view_tenantcircuit", "steer_tenantcircuit")
    eve.user_permissions.set(Permission.objects.filter(codename__in=rights))
    StaffTenantScope.objects.create(user=eve, tenant_id="acme")
    client.force_login(eve)
    for tenant in ("globex", "*"):
        assert client.get(named("force_open", tenant)).status_code == 404
        assert client.post(named("force_open", tenant), {"reason": "x"}).status_code == 404
    assert not TenantCircuit.objects.exists()
    assert client.get(named("force_open")).status_code == 200
    eve.user_permissions.remove(Permission.objects.get(codename="steer_tenantcircuit"))
    assert client.post(named("force_open"), {"reason": "x"}).status_code == 403


def test_several_circuits_are_decided_about_at_once(staff: Client) -> None:
    circuits = [store(), store("globex"), store("initech")]
    asked = in_list(staff, "force_open", *circuits[:2]).text
    assert "All calls are refused" in asked
    assert not CircuitTransition.objects.exists()
    assert in_list(staff, "force_open", *circuits[:2], confirmed="yes", reason="").status_code == 200
    assert in_list(staff, "force_open", *circuits[:2], confirmed="yes", reason="move").status_code == 302
    states = dict(TenantCircuit.objects.values_list("tenant_id", "override"))
    assert states == {"acme": "forced_open", "globex": "forced_open", "initech": "auto"}
    in_list(staff, "automatic", *circuits[:2], confirmed="yes", reason="moved")
    assert set(TenantCircuit.objects.values_list("override", flat=True)) == {"auto"}


def test_thresholds_of_several_circuits_are_set_at_once(staff: Client) -> None:
    circuits = [store(failure_threshold=2), store("globex", decay=5)]
    in_list(
        staff,
        "set_thresholds",
        *circuits,
        confirmed="yes",
        reason="all",
        reset_interval="10",
        failure_threshold="default",
    )
    values = TenantCircuit.objects.values_list("reset_interval", "failure_threshold", "decay")
    assert list(values) == [(10, None, None), (10, None, 5)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Nothing would change"),
        ({"failure_threshold": "0"}, "failure_threshold must be at least 1."),
        ({"mode": "guess"}, "Neither a value nor the word default."),
        ({"decay": "nan"}, "decay must be finite."),
    ],
)
def test_impossible_thresholds_in_bulk_are_refused(staff: Client, fields: dict[str, str], said: str) -> None:
    assert said in in_list(staff, "set_thresholds", store(), confirmed="yes", reason="x", **fields).text


def test_one_of_several_that_cannot_be_set_is_named(staff: Client) -> None:
    circuits = [store(), store("globex", max_reset_interval=40)]
    done = in_list(staff, "set_thresholds", *circuits, confirmed="yes", reason="x", reset_interval="50")
    text = staff.get(done.url).text
    assert "Thresholds set: 1 circuit." in text
    assert "Circuit globex memory: reset_interval=50.0: must be at most max_reset_interval=40." in text


def test_who_may_only_look_decides_nothing(client: Client) -> None:
    looker = User.objects.create_user("bob", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_tenantcircuit"))
    client.force_login(looker)
    circuit = opened()
    assert client.get(page(circuit)).status_code == 200
    assert decide(circuit, "reset") not in client.get(page(circuit)).text
    for verb in VERBS:
        assert client.post(decide(circuit, verb), {"reason": "x"}).status_code == 403
        in_list(client, verb, circuit, confirmed="yes", reason="x")
    assert not CircuitTransition.objects.exists()


@pytest.mark.parametrize("url", [f"{LIST}1/decide/explode/", f"{LIST}999999/decide/reset/"])
def test_what_does_not_exist_is_not_found(staff: Client, url: str) -> None:
    assert staff.get(url).status_code == 404


def test_nothing_is_deleted(staff: Client) -> None:
    assert staff.post(f"{LIST}{opened().pk}/delete/", {"post": "yes"}).status_code == 403


def test_no_page_has_a_script_or_a_style_in_it(staff: Client) -> None:
    circuit = opened()
    for url in (LIST, page(circuit), *(decide(circuit, verb) for verb in VERBS)):
        text = staff.get(url).text
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)(?![^>]*application/json)|\sstyle=|\son\w+=", text), url


def test_the_history_of_all_is_listed_and_searched(staff: Client) -> None:
    for tenant in ("acme", "globex"):
        CircuitTransition.objects.create(
            tenant_id=tenant, name="memory", from_state="closed", to_state="open", why="failures", epoch=1
        )
    text = staff.get("/admin/circuits/circuittransition/", {"q": "globex memory"}).text
    assert "globex" in text
    assert "acme" not in text.split("result_list")[1]


def test_more_than_fit_on_a_page_are_not_decided_about_at_once(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_admin, "MOST_AT_ONCE", 1)
    done = in_list(staff, "force_open", store(), store("globex"), confirmed="yes", reason="x")
    assert "Select at most 1 circuits at once." in staff.get(done.url).text
    assert not CircuitTransition.objects.exists()


def test_a_database_that_cannot_be_told_is_said(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise StoreUnavailable("The database does not answer.")

    circuit = store()
    monkeypatch.setattr(process, "command", refuse)
    done = staff.post(decide(circuit, "force_open"), {"reason": "x"}, follow=True)
    assert "Circuit acme memory: The database does not answer." in done.text
    assert not LogEntry.objects.exists()
