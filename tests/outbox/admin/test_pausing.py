"""Pauses in the admin: confirmed, with a reason, and recorded."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox.admin import pausing
from outbox.models import OperatorAction, TenantPolicy
from outbox.operations.pause import InvalidPause
from tests.support.confirming import hidden

pytestmark = pytest.mark.django_db

LIST = "/admin/outbox/tenantpolicy/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def decide(staff: Client, verb: str, *tenants: str, **fields: str) -> Any:
    return staff.post(f"{LIST}decide/{verb}/", {"tenant": list(tenants), "reason": "Kafka is moved", **fields})


def test_everyone_is_paused_after_a_question_and_a_reason(staff: Client) -> None:
    assert "Pause everyone ..." in staff.get(LIST).text
    page = staff.get(f"{LIST}decide/pause/?tenant=*").text
    assert "This is about all tenants." in page
    assert not TenantPolicy.objects.exists()
    assert "errorlist" in decide(staff, "pause", "*", reason=" ").text
    assert decide(staff, "pause", "*").status_code == 302
    policy = TenantPolicy.objects.get()
    assert (policy.tenant_id, policy.paused, policy.paused_by, policy.paused_reason) == (
        "*",
        True,
        "ann",
        "Kafka is moved",
    )
    action = OperatorAction.objects.get()
    assert (action.verb, action.actor, action.address) == ("pause", "ann", "127.0.0.1")


@pytest.mark.parametrize("reason", ["", " "])
def test_a_pause_is_taken_back_for_a_reason(staff: Client, reason: str) -> None:
    TenantPolicy.objects.create(tenant_id="acme", paused=True)
    assert "errorlist" in decide(staff, "resume", "acme", reason=reason).text
    assert TenantPolicy.objects.get().paused
    assert decide(staff, "resume", "acme", reason="it is moved").status_code == 302
    assert not TenantPolicy.objects.get().paused
    assert OperatorAction.objects.get().reason == "it is moved"


def test_the_list_says_who_has_paused_everyone_and_why(staff: Client) -> None:
    decide(staff, "pause", "*")
    page = staff.get(LIST).text
    assert "Everyone is paused by ann: Kafka is moved" in page
    assert "Resume everyone ..." in page
    decide(staff, "resume", "*")
    assert "Everyone is paused" not in staff.get(LIST).text
    assert not TenantPolicy.objects.get().paused


def test_a_pause_may_end_by_itself_but_not_in_the_past(staff: Client) -> None:
    def local(hours: int) -> str:
        return (timezone.localtime() + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M")

    assert "Must lie in the future" in decide(staff, "pause", "acme", until=local(-1)).text
    decide(staff, "pause", "acme", until=local(2))
    until = TenantPolicy.objects.get().paused_until
    assert until is not None
    assert timedelta(hours=1) < until - timezone.now() < timedelta(hours=3)


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_tenants_that_are_selected_are_asked_about_together(staff: Client, verb: str) -> None:
    for tenant in ("acme", "zeta"):
        TenantPolicy.objects.create(tenant_id=tenant, paused=verb == "resume")
    page = staff.post(LIST, {"action": verb, "_selected_action": ["acme", "zeta"]}).text
    assert f"{verb.capitalize()} 2 tenants" in page
    decide(staff, verb, "acme", "zeta")
    assert set(TenantPolicy.objects.values_list("paused", flat=True)) == {verb == "pause"}
    assert f"{verb.capitalize()}d 2 tenants." in staff.get(LIST).text


@pytest.mark.parametrize(
    ("back", "leads_to"), [("/admin/?span=1h", "/admin/?span=1h"), ("https://evil.example/", LIST), ("", LIST)]
)
def test_it_leads_back_to_the_page_of_this_host_that_it_was_asked_from(staff: Client, back: str, leads_to: str) -> None:
    page = staff.get(f"{LIST}decide/pause/", {"tenant": "acme", "back": back}).text
    assert f'name="back" value="{leads_to}"' in page
    assert decide(staff, "pause", "acme", back=back)["Location"] == leads_to


def test_whoever_has_selected_nothing_is_told(staff: Client) -> None:
    page = staff.get(f"{LIST}decide/resume/", {"back": "/admin/outbox/overview/"}, follow=True)
    assert page.redirect_chain[0][0] == "/admin/outbox/overview/"
    assert "Select the tenants first." in page.text


def test_an_action_leads_back_to_the_list_as_it_was_filtered(staff: Client) -> None:
    TenantPolicy.objects.create(tenant_id="acme")
    page = staff.post(f"{LIST}?q=ac", {"action": "pause", "_selected_action": ["acme"]}).text
    assert f'name="back" value="{LIST}?q=ac"' in page


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_the_button_for_everyone_leads_back_to_the_list_as_it_was_filtered(staff: Client, verb: str) -> None:
    if verb == "resume":
        TenantPolicy.objects.create(tenant_id="*", paused=True)
    (link,) = re.findall(rf'href="([^"]+/decide/{verb}/[^"]+)"', staff.get(f"{LIST}?q=ac&paused=no").text)
    asked = staff.get(html.unescape(link)).text
    assert f'href="{LIST}?q=ac&amp;paused=no" class="closelink"' in asked
    assert decide(staff, verb, "*", back=hidden(asked)["back"])["Location"] == f"{LIST}?q=ac&paused=no"


def test_what_the_database_finds_over_already_is_said(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise InvalidPause("that is over already")

    monkeypatch.setitem(pausing._OPERATIONS, "pause", refuse)
    decide(staff, "pause", "acme")
    assert "Tenant acme: that is over already" in staff.get(LIST).text


def test_what_is_paused_already_is_named_before_and_after(staff: Client) -> None:
    TenantPolicy.objects.create(tenant_id="acme", paused=True, paused_by="bob", paused_reason="their import")
    over = timezone.now() - timedelta(hours=1)
    TenantPolicy.objects.create(tenant_id="over", paused=True, paused_by="bob", paused_until=over)
    asked = " ".join(staff.get(f"{LIST}decide/pause/", {"tenant": ["zeta", "over", "acme"]}).text.split())
    assert "<li>acme by bob: their import</li>" in asked
    assert "over by bob" not in asked
    decide(staff, "pause", "zeta", "over", "acme")
    said = "Paused 3 tenants. Paused already, so that this pause takes the place of another: acme."
    assert said in staff.get(LIST).text
    assert TenantPolicy.objects.get(pk="acme").paused_by == "ann"
    TenantPolicy.objects.filter(pk="zeta").update(paused=False)
    decide(staff, "resume", "zeta", "over", "acme")
    assert "Resumed 2 tenants. No pause held of: zeta." in staff.get(LIST).text


def test_many_names_are_shortened(staff: Client) -> None:
    tenants = [f"t{number:02}" for number in range(25)]
    TenantPolicy.objects.bulk_create(TenantPolicy(tenant_id=each, paused=True) for each in tenants)
    decide(staff, "pause", *tenants)
    assert "t18, t19 and 5 more." in staff.get(LIST).text


def test_tenants_are_paused_in_one_order_and_once_each_whoever_sends_them(staff: Client) -> None:
    """Two people who lock the same policies in different orders would wait for each other."""
    with CaptureQueriesContext(connection) as queries:
        decide(staff, "pause", "zeta", "acme", "zeta", "*", "globex")
    locked = [re.findall(r"\"tenant_id\" = '([^']+)'", each["sql"]) for each in queries if "FOR UPDATE" in each["sql"]]
    assert locked == [["*"], ["acme"], ["globex"], ["zeta"]]
    assert OperatorAction.objects.count() == 4


def test_what_was_done_before_one_cannot_be_is_said(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pausing._OPERATIONS["pause"]

    def refuse(*, tenant_id: str, **how: Any) -> object:
        if tenant_id == "zeta":
            raise InvalidPause("that is over already")
        return real(tenant_id=tenant_id, **how)

    monkeypatch.setitem(pausing._OPERATIONS, "pause", refuse)
    decide(staff, "pause", "zeta", "acme")
    text = staff.get(LIST).text
    assert "Tenant zeta: that is over already" in text
    assert "Paused tenant acme." in text


def test_resuming_what_is_not_paused_says_so(staff: Client) -> None:
    decide(staff, "resume", "*")
    assert "No pause of everyone holds." in staff.get(LIST).text


def test_the_right_is_checked_on_the_server(client: Client) -> None:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_tenantpolicy"))
    client.force_login(user)
    assert "Pause everyone" not in client.get(LIST).text
    assert decide(client, "pause", "*").status_code == 403
    assert client.get(f"{LIST}decide/pause/?tenant=*").status_code == 403
    assert not TenantPolicy.objects.exists()


@pytest.mark.parametrize("tenants", [(), ("a b",), ("a:b",), ("x" * 65,), ("a",) * 201])
def test_what_can_be_no_tenant_is_not_found(staff: Client, tenants: tuple[str, ...]) -> None:
    assert decide(staff, "pause", *tenants).status_code == 404
    assert not TenantPolicy.objects.exists()


def test_there_are_no_other_decisions(staff: Client) -> None:
    assert decide(staff, "delete", "acme").status_code == 404
