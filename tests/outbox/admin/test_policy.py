"""Policies as staff edit them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from outbox.models import OperatorAction, TenantPolicy
from tests.support.confirming import confirm, hidden

pytestmark = pytest.mark.django_db

LIST = "/admin/outbox/tenantpolicy/"
ADD = f"{LIST}add/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def save(staff: Client, url: str = ADD, **fields: object) -> str:
    """The page after pressing save and confirming it: empty when it was saved."""
    if url == ADD:
        fields = {"tenant_id": "acme", **fields}
    return str(confirm(staff, url, {"weight": "1", "reason": "their contract", **fields}).text)


def change(tenant_id: str) -> str:
    return f"/admin/outbox/tenantpolicy/{tenant_id.replace('*', '%2A')}/change/"


def test_a_policy_is_saved(staff: Client) -> None:
    assert save(staff, weight="2.5", rate="100", batch_quota="50", backlog_limit="1000", retention_days="30") == ""
    policy = TenantPolicy.objects.get()
    assert (policy.tenant_id, policy.weight, policy.rate, policy.batch_quota) == ("acme", 2.5, 100, 50)
    assert (policy.backlog_limit, policy.retention_days, policy.paused) == (1_000, 30, False)


def test_what_would_change_is_shown_before_it_does(staff: Client) -> None:
    asked = staff.post(ADD, {"tenant_id": "acme", "weight": "2", "rate": "1500", "reason": "their contract"}).text
    assert "acme: tenant id acme, weight 2, rate 1,500" in asked
    assert not TenantPolicy.objects.exists()
    staff.post(ADD, {**hidden(asked), "reason": "their contract"})
    asked = staff.post(change("acme"), {"weight": "2", "rate": "", "retention_days": "9", "reason": "it is over"}).text
    assert "acme: rate 1,500 → no limit, retention days the default → 9" in " ".join(asked.split())
    assert TenantPolicy.objects.get().rate == 1_500
    assert OperatorAction.objects.get().verb == "set_policy"
    assert staff.post(change("acme"), {**hidden(asked), "reason": "it is over"})["Location"] == LIST
    assert TenantPolicy.objects.get().rate is None


def test_a_pause_is_shown_and_left_alone(staff: Client) -> None:
    TenantPolicy.objects.create(tenant_id="acme", paused=True, paused_by="bob", paused_reason="their import")
    text = staff.get(change("acme")).text
    assert "their import" in text
    assert 'name="paused' not in text
    assert f"{LIST}decide/resume/?tenant=acme&amp;back=%2Fadmin%2Foutbox%2Ftenantpolicy%2Facme%2Fchange%2F" in text
    assert save(staff, change("acme"), weight="3", paused_reason="mine", paused_by="ann") == ""
    now = TenantPolicy.objects.get()
    assert (now.weight, now.paused, now.paused_by, now.paused_reason) == (3, True, "bob", "their import")
    assert OperatorAction.objects.get().after == {"weight": 3}
    TenantPolicy.objects.update(paused=False)
    assert save(staff, change("acme"), weight="4", paused="on", paused_reason="mine") == ""
    assert not TenantPolicy.objects.get().paused
    assert f"{LIST}decide/pause/?tenant=acme" in staff.get(change("acme")).text
    assert 'name="paused' not in staff.get(ADD).text


@pytest.mark.parametrize("reason", ["", " "])
@pytest.mark.parametrize("fields", [{"weight": "2"}, {"rate": "7"}])
def test_a_policy_is_changed_for_a_reason(staff: Client, fields: dict[str, str], reason: str) -> None:
    save(staff, rate="5")
    assert "This field is required" in save(staff, change("acme"), **{"rate": "5", **fields}, reason=reason)
    assert TenantPolicy.objects.values_list("weight", "rate").get() == (1, 5)
    assert OperatorAction.objects.get().reason == "their contract"


def test_the_row_of_everyone_can_only_be_paused(staff: Client) -> None:
    assert "can only be paused" in save(staff, tenant_id="*", rate="5")
    assert not TenantPolicy.objects.exists()
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_by="bob", paused_reason="Kafka is moved")
    link = staff.get(LIST).text.partition('field-tenant_id"><a href="')[2].partition('"')[0]
    text = staff.get(link).text
    assert "Kafka is moved" in text
    assert 'name="weight"' not in text
    assert staff.post(link, {"weight": "2", "reason": "x"}).status_code == 403


def test_a_pause_that_is_over_does_not_hold(staff: Client) -> None:
    now = timezone.now()
    hour = timedelta(hours=1)
    for tenant, until in [("ended", now - hour), ("ends", now + hour), ("endless", None)]:
        TenantPolicy.objects.create(tenant_id=tenant, paused=True, paused_by="ann", paused_until=until)
    TenantPolicy.objects.create(tenant_id="free")

    def listed(**asked: str) -> dict[str, bool]:
        text = staff.get(LIST, asked).text
        rows = re.findall(r'field-tenant_id"><a[^>]*>([^<]+)<.*?field-is_paused"><img[^>]*alt="(\w+)"', text, re.S)
        return {tenant: said == "True" for tenant, said in rows}

    assert listed() == {"ended": False, "endless": True, "ends": True, "free": False}
    assert listed(paused="yes") == {"endless": True, "ends": True}
    assert listed(paused="no") == {"ended": False, "free": False}
    assert f"{LIST}decide/pause/?tenant=ended" in staff.get(change("ended")).text
    assert f"{LIST}decide/resume/?tenant=ends" in staff.get(change("ends")).text


@pytest.mark.parametrize("tenant_id", ["a b", "a:b", "_other", "-a", "**", "ä", "a\n b"])
def test_names_that_no_tenant_can_have(staff: Client, tenant_id: str) -> None:
    assert "A tenant is named by" in save(staff, tenant_id=tenant_id)
    assert not TenantPolicy.objects.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tenant_id", ""),
        ("weight", "0"),
        ("weight", "-1"),
        ("weight", "1e7"),
        ("weight", "nan"),
        ("weight", "inf"),
        ("rate", "0"),
        ("rate", "1e10"),
        ("batch_quota", "0"),
        ("backlog_limit", "0"),
        ("backlog_limit", "1.5"),
        ("retention_days", "0"),
        ("retention_days", "99999999999"),
    ],
)
def test_values_that_the_database_would_refuse_are_shown_beside_their_field(
    staff: Client, name: str, value: str
) -> None:
    page = save(staff, **{name: value})
    assert "errorlist" in page.partition(f"field-{name}")[2][:500]
    assert not TenantPolicy.objects.exists()


def test_the_tenant_of_a_policy_does_not_change(staff: Client) -> None:
    save(staff)
    save(staff, change("acme"), tenant_id="globex", weight="3")
    assert list(TenantPolicy.objects.values_list("tenant_id", "weight")) == [("acme", 3)]


def test_a_policy_can_be_deleted_and_the_defaults_hold_again(staff: Client) -> None:
    save(staff, rate="5")
    page = "/admin/outbox/tenantpolicy/acme/delete/"
    assert 'name="reason"' in staff.get(page).text
    staff.post(page, {"post": "yes", "reason": " "})
    assert TenantPolicy.objects.exists()
    staff.post(page, {"post": "yes", "reason": "they left"})
    assert not TenantPolicy.objects.exists()
    deleted = OperatorAction.objects.get(verb="delete_policy")
    assert ((deleted.before or {})["rate"], deleted.after) == (5, None)
    assert (deleted.tenants, deleted.reason) == (["acme"], "they left")


def test_policies_are_deleted_one_by_one_each_for_its_reason(staff: Client) -> None:
    TenantPolicy.objects.create(tenant_id="acme")
    action = {"action": "delete_selected", "_selected_action": ["acme"], "post": "yes"}
    staff.post("/admin/outbox/tenantpolicy/", action)
    assert TenantPolicy.objects.exists()


def test_a_page_saves_what_was_changed_on_it_and_undoes_nothing_that_happened_meanwhile(staff: Client) -> None:
    save(staff, rate="5")
    asked = staff.post(change("acme"), {"weight": "3", "rate": "5", "reason": "x"}).text
    pause = {"paused": True, "paused_by": "bob", "paused_reason": "their import"}
    TenantPolicy.objects.update(**pause)
    staff.post(change("acme"), {**hidden(asked), "reason": "x"})
    assert TenantPolicy.objects.filter(weight=3, rate=5, **pause).exists()
    TenantPolicy.objects.update(rate=9)
    stale = {"weight": "4", "rate": "5", "reason": "x"}
    asked = staff.post(change("acme"), stale).text
    assert "weight 3 → 4, rate 9 → 5" in asked
    TenantPolicy.objects.update(rate=10)
    assert "Look again." in staff.post(change("acme"), {**hidden(asked), "reason": "x"}).text
    assert TenantPolicy.objects.get().rate == 10


def test_what_changes_is_recorded_with_who_why_and_from_where(staff: Client) -> None:
    save(staff, rate="5")
    save(staff, change("acme"), rate="7", reason="a bigger contract")
    first, second = OperatorAction.objects.order_by("id")
    assert (first.verb, first.before, (first.after or {})["rate"]) == ("set_policy", None, 5)
    assert (second.actor, second.source, second.address) == ("ann", "admin", "127.0.0.1")
    assert (second.reason, second.filter) == ("a bigger contract", {"tenant": "acme"})
    assert (second.before, second.after) == ({"rate": 5}, {"rate": 7})
