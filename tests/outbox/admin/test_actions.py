"""The record of what operators did, as staff read it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from circuits.models import StaffTenantScope
from outbox.models import EventStatus, OperatorAction, OutboxJob
from tests.outbox.admin.people import operator, superuser, viewer
from tests.outbox.operations.jobs.scene import work
from tests.outbox.operations.rows import event, failed

pytestmark = pytest.mark.django_db

LIST = "/admin/outbox/operatoraction/"


def done(verb: str = "pause", *, tenants: tuple[str, ...] = ("acme",), **more: Any) -> OperatorAction:
    values = {"actor": "ann", "source": "admin", "reason": f"why {verb}", "address": "192.0.2.1", **more}
    return OperatorAction.objects.create(verb=verb, tenants=list(tenants), **values)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def verbs(client: Client, **asked: str) -> list[str]:
    return re.findall(r'class="field-verb">([^<]+)<', client.get(LIST, asked).text)


def test_it_is_searched_by_who_what_whom_and_why(staff: Client) -> None:
    done("replay"), done("pause", actor="bob", tenants=("globex",))
    assert verbs(staff) == ["pause", "replay"]
    assert verbs(staff, actor="bob") == verbs(staff, tenant="globex") == verbs(staff, q="pause why") == ["pause"]
    assert verbs(staff, verb="replay") == ["replay"]
    assert verbs(staff, until="2020-01-01T00:00") == []
    assert "Nothing like this was done" in staff.get(LIST, {"verb": "discard"}).text


def test_a_range_of_times_is_in_the_zone_that_is_named(staff: Client) -> None:
    action = done()
    until = (action.at + timedelta(minutes=1)).astimezone(ZoneInfo("Asia/Tokyo"))
    asked = {"since": f"{until - timedelta(minutes=2):%Y-%m-%dT%H:%M}", "until": f"{until:%Y-%m-%dT%H:%M}"}
    assert verbs(staff, **asked, zone="Asia/Tokyo") == ["pause"]
    assert verbs(staff, **asked, zone="Europe/Berlin") == verbs(staff, **asked) == []
    text = staff.get(LIST, {**asked, "zone": "Asia/Tokyo"}).text
    assert "From (<span>Asia/Tokyo</span>)" in text
    assert 'name="zone" value="Asia/Tokyo">' in text


def test_a_range_that_is_not_asked_for_yet_is_in_the_viewers_zone(staff: Client) -> None:
    text = staff.get(LIST).text
    assert "To (<span data-zone>UTC</span>)" in text
    assert 'name="zone" value="UTC" data-zone-name>' in text
    assert "Nobody has done anything yet" in staff.get(LIST, {"zone": "Asia/Tokyo"}).text


@pytest.mark.parametrize("zone", ["Mars/Base", "../../etc/passwd", "Europe", "\0", "<b>"])
def test_a_zone_that_the_server_does_not_know_is_not_used(staff: Client, zone: str) -> None:
    text = staff.get(LIST, {"since": "2020-01-01T00:00", "zone": zone}).text
    assert "From (<span>UTC</span>)" in text
    assert "<b>" not in text


def test_what_cannot_be_asked_is_said(staff: Client) -> None:
    text = staff.get(LIST, {"since": "yesterday"}).text
    assert "Enter a valid date/time" in text
    assert staff.get(LIST, {"before": "x"}).status_code == 200


def test_the_page_of_an_action_compares_before_and_after(staff: Client) -> None:
    action = done("set_policy", before={"rate": 5, "paused": False}, after={"rate": 7, "paused": True})
    text = staff.get(f"{LIST}{action.pk}/change/").text
    assert '<tr><th scope="row">rate</th><td>5</td><td>7</td></tr>' in text
    assert '<tr><th scope="row">paused</th><td>no</td><td>yes</td></tr>' in text
    assert "192.0.2.1" in text
    hostile = done("replay", before={"<b>": ["<i>"]}, reason="<script>")
    assert "<script>" not in re.sub(r"<script[^>]+>", "", staff.get(f"{LIST}{hostile.pk}/change/").text)


def test_long_lists_of_events_are_shortened(staff: Client) -> None:
    action = done("replay", before={"failed": list(range(500))}, after={"status": "pending"})
    assert "18, 19 and 480 more" in staff.get(f"{LIST}{action.pk}/change/").text


def test_nobody_changes_or_deletes_an_action(staff: Client) -> None:
    action = done()
    for page in (f"{action.pk}/change/", f"{action.pk}/delete/", "add/"):
        assert staff.post(LIST + page, {"post": "yes", "reason": "x"}).status_code == 403
    staff.post(LIST, {"action": "delete_selected", "_selected_action": [action.pk], "post": "yes"})
    assert OperatorAction.objects.get() == action


def test_whoever_is_limited_reads_of_their_tenants_alone(client: Client) -> None:
    eve = User.objects.create_user("eve", is_staff=True)
    eve.user_permissions.add(Permission.objects.get(codename="view_operatoraction"))
    StaffTenantScope.objects.create(user=eve, tenant_id="acme")
    client.force_login(eve)
    ours = done("replay", filter={"status": ["failed"], "after": "globex/1/2"})
    theirs, both = done("pause", tenants=("globex",)), done("discard", tenants=("acme", "globex"))
    text = client.get(LIST).text
    assert verbs(client) == ["replay"]
    assert "globex" not in text
    assert verbs(client, tenant="globex") == []
    assert "globex" not in client.get(f"{LIST}{ours.pk}/change/").text
    answers = {client.get(f"{LIST}{pk}/change/").text for pk in (theirs.pk, both.pk, 2**40)}
    assert len({re.sub(r"\d+", "", each) for each in answers}) == 1
    assert client.get(f"{LIST}{theirs.pk}/change/").status_code == 404


def test_whoever_is_limited_reads_no_other_tenant_in_what_wider_operators_did_to_theirs(client: Client) -> None:
    client.force_login(operator(tenants=("acme", "globex")))
    one, _ = failed(1), failed(2)
    decided = {"ids": one.pk, "reason": "the topic is there"}
    assert client.post("/admin/outbox/outboxevent/decide/replay/", decided).status_code == 302
    started = {"reason": "all of them", "up_to_id": "900000000"}
    assert client.post("/admin/outbox/outboxjob/start/replay/?status__exact=failed", started).status_code == 302
    work(OutboxJob.objects.get().pk)
    batches = OperatorAction.objects.filter(verb="replay")
    assert [(each.tenants, each.filter["tenants"]) for each in batches] == 2 * [(["acme"], ["acme", "globex"])]

    assert "tenants: acme, globex" in client.get(LIST).text
    vera = viewer()
    StaffTenantScope.objects.create(user=vera, tenant_id="acme")
    client.force_login(vera)
    assert verbs(client) == verbs(client, q="the") + verbs(client, q="all of them") == ["replay", "replay"]
    pages = [client.get(LIST, asked) for asked in ({}, {"tenant": "acme"}, {"q": "the topic"}, {"verb": "replay"})]
    pages += [client.get(f"{LIST}{each.pk}/change/") for each in batches]
    pages += [client.get(f"{LIST}{each.pk}/history/") for each in batches]
    pages += [client.get("/admin/outbox/tenant/acme/"), client.get(f"/admin/outbox/outboxevent/{one.pk}/change/")]
    assert {page.status_code for page in pages} == {200}
    assert all("tenants: acme" in page.text for page in pages[:6])
    assert not [page.request["PATH_INFO"] for page in pages if "globex" in page.text]


def test_whoever_is_limited_reads_no_numbers_of_other_tenants_events(client: Client) -> None:
    client.force_login(superuser())
    mine, theirs = failed(), event(tenant_id="globex", status=EventStatus.SENT, id=7_654_321)
    decided = {"ids": f"{mine.pk},{theirs.pk}", "reason": "both"}
    assert client.post("/admin/outbox/outboxevent/decide/replay/", decided).status_code == 302
    action = OperatorAction.objects.get()
    assert (action.tenants, action.filter["ids"]) == (["acme"], [mine.pk, theirs.pk])
    assert "7654321" in client.get(LIST).text
    vera = viewer()
    StaffTenantScope.objects.create(user=vera, tenant_id="acme")
    client.force_login(vera)
    for page in (LIST, f"{LIST}{action.pk}/change/"):
        assert f"ids: {mine.pk}<" in client.get(page).text
        assert "7654321" not in client.get(page).text
