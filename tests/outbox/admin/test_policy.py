"""Policies as staff edit them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from outbox.models import OperatorAction, TenantPolicy

pytestmark = pytest.mark.django_db

ADD = "/admin/outbox/tenantpolicy/add/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def save(staff: Client, url: str = ADD, **fields: object) -> str:
    """The page after pressing save: empty when it was saved."""
    if url == ADD:
        fields = {"tenant_id": "acme", **fields}
    return staff.post(url, {"weight": "1", "reason": "their contract", **fields}).text


def change(tenant_id: str) -> str:
    return f"/admin/outbox/tenantpolicy/{tenant_id.replace('*', '%2A')}/change/"


def in_an_hour() -> dict[str, str]:
    later = timezone.now() + timedelta(hours=1)
    return {"paused_until_0": later.strftime("%Y-%m-%d"), "paused_until_1": later.strftime("%H:%M:%S")}


def test_a_policy_is_saved(staff: Client) -> None:
    assert save(staff, weight="2.5", rate="100", batch_quota="50", backlog_limit="1000", retention_days="30") == ""
    policy = TenantPolicy.objects.get()
    assert (policy.tenant_id, policy.weight, policy.rate, policy.batch_quota) == ("acme", 2.5, 100, 50)
    assert (policy.backlog_limit, policy.retention_days, policy.paused) == (1_000, 30, False)


def test_who_pauses_is_recorded(staff: Client) -> None:
    save(staff, paused="on", paused_reason="broken consumer", paused_by="somebody else", **in_an_hour())
    policy = TenantPolicy.objects.get()
    assert (policy.paused, policy.paused_by, policy.paused_reason) == (True, "ann", "broken consumer")
    assert policy.paused_until is not None


def test_who_changes_something_else_does_not_take_over_the_pause(staff: Client, client: Client) -> None:
    save(staff, paused="on", paused_reason="broken consumer")
    client.force_login(User.objects.create_superuser("bob"))
    save(client, change("acme"), paused="on", paused_reason="broken consumer", weight="3")
    policy = TenantPolicy.objects.get()
    assert (policy.paused_by, policy.weight) == ("ann", 3)


def test_a_pause_without_a_reason_is_refused(staff: Client) -> None:
    assert "Say why" in save(staff, paused="on", paused_reason=" ")
    assert not TenantPolicy.objects.exists()


@pytest.mark.parametrize("reason", ["", " "])
@pytest.mark.parametrize("fields", [{"weight": "2", "paused": "on"}, {"rate": "7", "paused": "on"}, {}])
def test_a_policy_is_changed_for_a_reason(staff: Client, fields: dict[str, str], reason: str) -> None:
    """Without fields the pause is taken away."""
    save(staff, paused="on", paused_reason="broken consumer", rate="5")
    kept = {"rate": "5", "paused_reason": "broken consumer"}
    assert "This field is required" in save(staff, change("acme"), **{**kept, **fields}, reason=reason)
    assert TenantPolicy.objects.values_list("weight", "rate", "paused").get() == (1, 5, True)
    assert OperatorAction.objects.get().reason == "their contract"


def test_nothing_of_a_pause_remains_after_it(staff: Client) -> None:
    save(staff, paused="on", paused_reason="broken consumer")
    save(staff, change("acme"), paused_reason="broken consumer")
    policy = TenantPolicy.objects.get()
    assert (policy.paused, policy.paused_by, policy.paused_reason, policy.paused_until) == (False, "", "", None)


def test_everyone_can_be_paused_and_resumed(staff: Client) -> None:
    assert save(staff, tenant_id="*", paused="on", paused_reason="Kafka is moved") == ""
    assert TenantPolicy.objects.get(pk="*").paused
    listing = staff.get("/admin/outbox/tenantpolicy/").text
    link = listing.partition('field-tenant_id"><a href="')[2].partition('"')[0]
    assert save(staff, link) == ""
    assert not TenantPolicy.objects.get(pk="*").paused


@pytest.mark.parametrize(
    ("name", "value"),
    [("rate", "5"), ("batch_quota", "5"), ("backlog_limit", "5"), ("retention_days", "5"), ("weight", "2")],
)
def test_the_row_of_everyone_can_only_pause(staff: Client, name: str, value: str) -> None:
    assert "can only pause" in save(staff, tenant_id="*", **{name: value})
    assert not TenantPolicy.objects.exists()


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


def test_a_pause_cannot_end_before_it_begins(staff: Client) -> None:
    past = {"paused_until_0": "2020-01-01", "paused_until_1": "00:00:00"}
    assert "Must lie in the future" in save(staff, paused="on", **past)


def test_an_end_without_a_pause_is_refused(staff: Client) -> None:
    assert "tick paused as well" in save(staff, **in_an_hour())


def test_a_pause_that_is_over_does_not_hinder_other_changes(staff: Client) -> None:
    over = timezone.now() - timedelta(hours=1)
    TenantPolicy.objects.create(tenant_id="acme", paused=True, paused_by="ann", paused_until=over)
    until = {"paused_until_0": over.strftime("%Y-%m-%d"), "paused_until_1": over.strftime("%H:%M:%S")}
    assert save(staff, change("acme"), paused="on", weight="3", **until) == ""
    assert TenantPolicy.objects.get().weight == 3


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
    save(staff)
    TenantPolicy.objects.update(paused=True, paused_by="bob", paused_reason="their import")
    stale = {"weight": "3", "paused": "on", "paused_reason": "their import"}
    save(staff, change("acme"), **stale)
    now = TenantPolicy.objects.get()
    assert (now.weight, now.paused, now.paused_by, now.paused_reason) == (3, True, "bob", "their import")


def test_what_changes_is_recorded_with_who_why_and_from_where(staff: Client) -> None:
    save(staff, rate="5")
    save(staff, change("acme"), rate="7", reason="a bigger contract")
    first, second = OperatorAction.objects.order_by("id")
    assert (first.verb, first.before, (first.after or {})["rate"]) == ("set_policy", None, 5)
    assert (second.actor, second.source, second.address) == ("ann", "admin", "127.0.0.1")
    assert (second.reason, second.filter) == ("a bigger contract", {"tenant": "acme"})
    assert (second.before, second.after) == ({"rate": 5}, {"rate": 7})
