"""The page of a tenant: its state, what staff decided and why, and nothing of anybody else."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from circuits.models import CircuitTransition, TenantCircuit
from circuits.policy import THRESHOLDS
from outbox.models import ActionSource, EventStatus, MinuteCount, OutboxEvent, TenantBacklog, TenantPolicy
from outbox.operations.audit import Operator
from outbox.operations.pause import pause
from tests.outbox.admin import people
from tests.outbox.admin.test_overview import count, publish, sign_in
from tests.support.budgets import questions
from tests.support.confirming import confirm
from tests.support.markup import inline

pytestmark = pytest.mark.django_db

PAGE = "/admin/outbox/tenant/acme/"
FIGURES, CHARTS = f"{PAGE}live/figures/", f"{PAGE}live/charts/"
ANN = Operator(name="ann", source=ActionSource.ADMIN)


@pytest.fixture
def staff(client: Client) -> Client:
    return sign_in(client, people.superuser())


def fail(*, topic: str = "orders", error_class: str = "topic", number: int = 1, tenant: str = "acme") -> None:
    for each in range(number):
        OutboxEvent.objects.create(
            tenant_id=tenant,
            topic=topic,
            dedupe_key=f"{topic}-{error_class}-{each}",
            payload={},
            status=EventStatus.FAILED,
            attempts=20,
            error_class=error_class,
            last_error="Broker: <Unknown> topic",
        )


def test_a_pause_is_told_with_who_when_and_why_and_ends_here(staff: Client) -> None:
    until = timezone.now() + timedelta(hours=1)
    pause(tenant_id="acme", reason="broker move", by=ANN, until=until)
    page = staff.get(PAGE).text
    assert "Paused by ann" in page
    assert "broker move" in page
    assert f"{timezone.localtime(until):%H:%M}" in page
    resume = re.search(r'href="([^"]*decide/resume/[^"]*)">Resume ...</a>', page)
    assert resume
    assert "back=/admin/outbox/tenant/acme/%3Fspan%3D1h" in resume[1]


def test_what_operators_did_is_told_with_before_and_after(staff: Client) -> None:
    pause(tenant_id="acme", reason="broker move", by=ANN)
    page = staff.get(PAGE).text
    assert "paused: no → yes" in page or "paused: – → yes" in page  # noqa: RUF001
    assert ">ann</th>" in page


def test_the_policy_is_shown_and_leads_to_its_form(staff: Client) -> None:
    assert "?tenant_id=acme" in staff.get(PAGE).text
    TenantPolicy.objects.create(tenant_id="acme", weight=3, rate=50, backlog_limit=100_000)
    page = staff.get(PAGE).text
    for said in ("50 events/s at most", "100,000 pending events", "30 days, the default"):
        assert said in page
    assert "/admin/outbox/tenantpolicy/acme/change/" in page


def test_the_form_of_the_policy_leads_back_to_the_page(staff: Client) -> None:
    for tenant_id in ("acme", "*"):
        TenantPolicy.objects.create(tenant_id=tenant_id)
    assert f'href="{PAGE}"' in staff.get("/admin/outbox/tenantpolicy/acme/change/").text
    assert "Page of the tenant" not in staff.get("/admin/outbox/tenantpolicy/*/change/").text


@pytest.mark.parametrize("words", ["Make a policy", "Edit the policy"])
def test_a_policy_that_is_saved_leads_back_to_the_page(staff: Client, words: str) -> None:
    if words == "Edit the policy":
        TenantPolicy.objects.create(tenant_id="acme")
    (link,) = re.findall(rf'href="([^"]+)">{words}<', staff.get(f"{PAGE}?span=24h").text)
    fields = {"tenant_id": "acme", "weight": "3", "reason": "their contract"}
    assert 'name="reason"' in staff.get(html.unescape(link)).text
    assert confirm(staff, html.unescape(link), fields)["Location"] == f"{PAGE}?span=24h"
    assert TenantPolicy.objects.get().weight == 3


def test_thresholds_that_are_saved_lead_back_to_the_page(staff: Client) -> None:
    TenantCircuit.objects.create(tenant_id="acme", name="memory")
    (link,) = re.findall(r'id="circuit-memory" href="([^"]+)"', staff.get(PAGE).text)
    fields = {**dict.fromkeys(THRESHOLDS, ""), "decay": "5", "reason": "they are slow"}
    assert confirm(staff, html.unescape(link), fields)["Location"] == f"{PAGE}?span=1h"


def test_circuits_that_never_failed_can_be_forced(client: Client) -> None:
    staff = sign_in(client, people.operator())
    page = staff.get(PAGE).text
    links = re.findall(r'href="([^"]+)" aria-label="Force (?:open|closed): publish"', page)
    back = html.escape(f"{PAGE}?span=1h")
    for link in links:
        assert f'name="back" value="{back}"' in staff.get(html.unescape(link)).text
    assert len(links) == len(re.findall(r'aria-label="Force', staff.get(FIGURES).text)) == 2
    assert 'id="force-name"' in page
    TenantCircuit.objects.create(tenant_id="acme", name="publish")
    assert "decide/force_open/?tenant=acme&amp;name=publish" not in staff.get(PAGE).text
    viewer = sign_in(client, people.viewer())
    assert "Force " not in viewer.get(PAGE).text


def test_circuits_say_what_holds_and_what_moved_them(staff: Client) -> None:
    circuit = TenantCircuit.objects.create(
        tenant_id="acme", name="publish", state="open", open_until=timezone.now() + timedelta(minutes=5), trips=2
    )
    CircuitTransition.objects.create(
        tenant_id="acme", name="publish", from_state="closed", to_state="open", why="failures", error_code="29", epoch=1
    )
    page = staff.get(PAGE).text
    assert "Opens after 5 failures in a row, for 30 s at first, 5 min at most; closes when a probe succeeds." in page
    assert "failures (29)" in page
    assert f"/admin/circuits/tenantcircuit/{circuit.pk}/decide/force_closed/?back=" in page
    held = {"override": "forced_closed", "override_by": "ann", "override_reason": "it is well"}
    TenantCircuit.objects.filter(pk=circuit.pk).update(**held)
    page = staff.get(PAGE).text
    assert "by ann: it is well" in page
    assert "decide/automatic/" in page
    assert f"{circuit.pk}/decide/force_open/" not in page


def test_failures_are_grouped_and_lead_to_their_events(staff: Client) -> None:
    fail(number=3)
    fail(topic="invoices", error_class="poison")
    page = staff.get(PAGE).text
    assert page.index(">topic</a>") < page.index(">poison</a>")
    assert "Broker: &lt;Unknown&gt; topic" in page
    link = re.search(r'href="([^"]*error_class=topic[^"]*)"', page)
    assert link
    listed = staff.get(link[1].replace("&amp;", "&"))
    assert listed.text.count('name="_selected_action"') == 3


def test_charts_are_its_own(staff: Client) -> None:
    publish("acme", sent=1_200)
    MinuteCount.objects.filter(tenant_id="*").update(sent=9_999)
    for path in (PAGE, CHARTS):
        page = staff.get(path).text
        assert '<td class="numeric">1,200</td>' in page
        assert "9,999" not in page


def test_a_tenant_without_anything_says_so(staff: Client) -> None:
    page = staff.get("/admin/outbox/tenant/nobody/").text
    assert "Nothing is known of a tenant nobody." in page
    assert "No dead letter" in page
    assert "Nobody did anything about it yet." in page
    assert inline(page) == []


@pytest.mark.parametrize("name", ["*", "a%20b", "-a", "x" * 65, "_other"])
def test_what_can_be_no_tenant_is_not_found(staff: Client, name: str) -> None:
    assert staff.get(f"/admin/outbox/tenant/{name}/").status_code == 404


@pytest.mark.parametrize("path", [PAGE, FIGURES, CHARTS])
def test_another_tenant_does_not_exist(client: Client, path: str) -> None:
    fail()
    sign_in(client, people.operator(tenants=("globex",)))
    assert client.get(path).status_code == 404
    assert client.get(path.replace("acme", "globex")).status_code == 200


def test_what_was_about_others_as_well_is_not_told(client: Client) -> None:
    pause(tenant_id="acme", reason="said of acme alone", by=ANN)
    pause(tenant_id=None, reason="globex asked for it", by=ANN)
    sign_in(client, people.operator(tenants=("acme",)))
    page = client.get(PAGE).text
    assert "said of acme alone" in page
    assert "globex" not in page


@pytest.mark.parametrize("path", [PAGE, FIGURES, CHARTS])
def test_staff_without_the_right_see_nothing(client: Client, path: str) -> None:
    assert client.get(path).status_code == 302
    sign_in(client, User.objects.create_user("bob", is_staff=True))
    assert client.get(path).status_code == 403


def test_a_viewer_is_shown_no_button_that_leads_nowhere(client: Client) -> None:
    TenantCircuit.objects.create(tenant_id="acme", name="publish", state="closed")
    page = sign_in(client, people.viewer()).get(PAGE).text
    for word in ("Pause ...", "Force open", "Edit the policy", "Make a policy"):
        assert word not in page
    for word in ("Policy", "Circuits", "Last failures", "What operators did"):
        assert word in page


def test_parts_that_one_may_not_see_are_left_out(client: Client) -> None:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.add(*people.viewer().user_permissions.filter(codename="view_tenantbacklog"))
    page = sign_in(client, user).get(PAGE).text
    for word in ("<h2>Policy", "Circuits</h2>", "Last failures", "What operators did"):
        assert word not in page


def test_a_name_that_is_typed_leads_to_its_page(staff: Client) -> None:
    found = staff.get("/admin/outbox/tenant/?tenant=acme")
    assert found["Location"] == f"{PAGE}?span=1h"
    missed = staff.get("/admin/outbox/tenant/?tenant=a%20b", follow=True)
    assert missed.redirect_chain[0][0].startswith("/admin/outbox/overview/")
    assert "No tenant is known as a b." in missed.text


@pytest.mark.parametrize(("path", "most"), [(PAGE, 6), (FIGURES, 4), (CHARTS, 4)])
def test_its_questions_are_as_many_for_everyone_and_at_any_size(client: Client, path: str, most: int) -> None:
    TenantCircuit.objects.create(tenant_id="acme", name="memory")
    asked = {}
    for size in (1, 100):
        TenantBacklog.objects.all().delete()
        OutboxEvent.objects.all().delete()
        count("acme")
        fail(number=size)
        for user in (people.superuser(f"ann-{size}"), people.operator(f"otto-{size}", tenants=("acme",))):
            sign_in(client, user)
            asked[user.username] = len(questions(client, path))
    assert max(asked.values()) <= most, asked
    assert asked["ann-1"] == asked["ann-100"]
    assert asked["otto-1"] == asked["otto-100"]
