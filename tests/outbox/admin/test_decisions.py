"""Replay and discard in the admin: the right, the reason, the confirmation, and the record."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from circuits.models import StaffTenantScope
from outbox.models import EventStatus, OperatorAction, OutboxAttempt, OutboxEvent
from tests.outbox.operations.rows import event, failed, status
from tests.support.confirming import hidden

pytestmark = pytest.mark.django_db

LIST = "/admin/outbox/outboxevent/"
VERBS = [("replay", "pending"), ("discard", "discarded")]


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def user_with(*permissions: str) -> User:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions, content_type__app_label="outbox"))
    return user


def choose(staff: Client, verb: str, *rows: OutboxEvent, query: str = "") -> Any:
    """The page that an action of the list leads to."""
    return staff.post(LIST + query, {"action": verb, "_selected_action": [row.pk for row in rows]})


def confirm(staff: Client, verb: str, *rows: OutboxEvent, **fields: str) -> Any:
    values = {"ids": ",".join(str(row.pk) for row in rows), "reason": "the topic is there", **fields}
    return staff.post(f"{LIST}decide/{verb}/", values)


@pytest.mark.parametrize(("verb", "becomes"), VERBS)
def test_an_action_asks_first_and_then_does_it(staff: Client, verb: str, becomes: str) -> None:
    rows = [failed(1), failed(2, tenant_id="zeta")]
    page = choose(staff, verb, *rows).text
    assert "2 events of 2 tenants" in page
    assert "csrfmiddlewaretoken" in page
    assert [status(row) for row in rows] == ["failed", "failed"]
    assert confirm(staff, verb, *rows).status_code == 302
    assert [status(row) for row in rows] == [becomes, becomes]
    action = OperatorAction.objects.get()
    assert (action.actor, action.source, action.address, action.verb) == ("ann", "admin", "127.0.0.1", verb)
    assert action.reason == "the topic is there"


@pytest.mark.parametrize(("verb", "becomes"), VERBS)
def test_the_right_is_checked_on_the_server(client: Client, verb: str, becomes: str) -> None:
    row = failed()
    other = next(name for name, _ in VERBS if name != verb)
    client.force_login(user_with("view_outboxevent", f"{other}_outboxevent"))
    assert f'value="{verb}"' not in client.get(LIST).text
    assert f'value="{other}"' in client.get(LIST).text
    choose(client, verb, row)
    assert confirm(client, verb, row).status_code == 403
    assert client.get(f"{LIST}decide/{verb}/?ids={row.pk}").status_code == 403
    assert status(row) == "failed"
    assert f"{verb.capitalize()} ..." not in client.get(f"{LIST}{row.pk}/change/").text


@pytest.mark.parametrize(("verb", "becomes"), VERBS)
def test_the_right_to_do_it_is_enough_with_that_to_view(client: Client, verb: str, becomes: str) -> None:
    row = failed()
    client.force_login(user_with(f"{verb}_outboxevent", "view_outboxevent"))
    confirm(client, verb, row)
    assert status(row) == becomes


def test_without_the_right_to_view_nothing_is_done(client: Client) -> None:
    row = failed()
    client.force_login(user_with("replay_outboxevent"))
    assert confirm(client, "replay", row).status_code == 403
    assert status(row) == "failed"


@pytest.mark.parametrize(("verb", "becomes"), VERBS)
def test_events_of_other_tenants_are_left_alone_and_not_told_of(client: Client, verb: str, becomes: str) -> None:
    own, other = failed(), failed(tenant_id="zeta")
    user = user_with(f"{verb}_outboxevent", "view_outboxevent")
    StaffTenantScope.objects.create(user=user, tenant_id="acme")
    client.force_login(user)
    page = client.get(f"{LIST}decide/{verb}/?ids={own.pk},{other.pk}").text
    assert "1 event of 1 tenant" in page
    confirm(client, verb, own, other)
    assert (status(own), status(other)) == (becomes, "failed")
    (action,) = OperatorAction.objects.all()
    assert action.tenants == ["acme"]


def test_strangers_are_sent_to_the_login(client: Client) -> None:
    row = failed()
    assert "/login/" in confirm(client, "replay", row).url
    assert status(row) == "failed"


def test_a_forged_form_is_refused(staff: Client) -> None:
    row = failed()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    assert confirm(strict, "replay", row).status_code == 403
    assert status(row) == "failed"


def test_looking_at_the_page_changes_nothing(staff: Client) -> None:
    row = failed()
    assert "1 event of 1 tenant" in staff.get(f"{LIST}decide/replay/?ids={row.pk}&reason=x").text
    assert status(row) == "failed"


def test_a_server_behind_a_socket_sees_no_address(staff: Client) -> None:
    row = failed()
    staff.post(f"{LIST}decide/replay/", {"ids": str(row.pk), "reason": "x"}, REMOTE_ADDR="")
    assert OperatorAction.objects.get().address is None


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1_001])
def test_a_reason_is_required(staff: Client, reason: str) -> None:
    row = failed()
    response = confirm(staff, "discard", row, reason=reason)
    assert response.status_code == 200
    assert "errorlist" in response.text
    assert status(row) == "failed"


def test_a_sent_event_is_left_alone_unless_a_duplicate_is_wanted(staff: Client) -> None:
    sent, dead = event(status=EventStatus.SENT), failed()
    page = choose(staff, "replay", sent, dead).text
    assert "a deliberate duplicate" in page
    assert "Left alone: 1 sent" in " ".join(page.split())
    confirm(staff, "replay", sent, dead)
    assert (status(sent), status(dead)) == ("sent", "pending")
    confirm(staff, "replay", sent, duplicate_sent="on")
    assert status(sent) == "pending"


def test_what_was_left_alone_is_said(staff: Client) -> None:
    confirm(staff, "replay", event())
    assert "Replayed 0 events. Left alone: 1 pending." in staff.get(LIST).text


def test_the_way_back_leads_to_the_list_as_it_was(staff: Client) -> None:
    row = failed()
    page = choose(staff, "replay", row, query="?status__exact=failed&tenant=acme").text
    assert f'name="back" value="{LIST}?status__exact=failed&amp;tenant=acme"' in page
    response = confirm(staff, "replay", row, back=f"{LIST}?tenant=acme")
    assert response.url == f"{LIST}?tenant=acme"
    assert confirm(staff, "replay", row, back="https://elsewhere.example/").url == LIST


@pytest.mark.parametrize("ids", ["", "x", "1;2", "-1", "0", "9" * 30, ",".join("1" * 1_001)])
def test_events_that_cannot_be_named_are_not_found(staff: Client, ids: str) -> None:
    assert staff.get(f"{LIST}decide/replay/", {"ids": ids}).status_code == 404
    assert staff.post(f"{LIST}decide/replay/", {"ids": ids, "reason": "x"}).status_code == 404


def test_there_are_no_other_decisions(staff: Client) -> None:
    assert staff.get(f"{LIST}decide/delete/?ids=1").status_code == 404


def test_all_that_are_listed_can_be_chosen_at_once(staff: Client) -> None:
    rows = [failed(second) for second in range(3)]
    data = {"action": "replay", "_selected_action": [rows[0].pk], "select_across": "1"}
    page = staff.post(f"{LIST}?tenant=acme", data).text
    assert "3 events of 1 tenant" in page
    assert re.search(r'name="ids" value="([^"]*)"', page)


def test_the_page_of_an_event_has_its_attempts_and_leads_to_decisions(staff: Client) -> None:
    row = failed()
    OutboxAttempt.objects.create(event=row, relay_id="0" * 32, error_class="topic", code=3, message="No <topic>")
    page = staff.get(f"{LIST}{row.pk}/change/").text
    assert "No &lt;topic&gt;" in page
    assert f"{LIST}decide/replay/?ids={row.pk}" in page
    assert f"{LIST}decide/discard/?ids={row.pk}" in page


def test_pages_have_no_inline_script_or_style(staff: Client) -> None:
    row = failed()
    for page in (
        staff.get(f"{LIST}decide/replay/?ids={row.pk}").text,
        staff.get("/admin/outbox/tenantpolicy/decide/pause/?tenant=*").text,
    ):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bonclick=", page)


@pytest.mark.parametrize("filters", ["", "status__exact=failed&tenant=acme"])
def test_a_decision_on_an_events_page_leads_back_to_the_list_that_led_there(staff: Client, filters: str) -> None:
    row = failed()
    query = urlencode({"_changelist_filters": filters}) if filters else ""
    page = staff.get(f"{LIST}{row.pk}/change/?{query}").text
    (link,) = re.findall(r'href="([^"]+/decide/replay/[^"]*)"', page)
    listed = f"{LIST}?{filters}" if filters else LIST
    asked = staff.get(html.unescape(link)).text
    assert f'href="{html.escape(listed)}" class="closelink"' in asked
    assert confirm(staff, "replay", row, back=hidden(asked)["back"])["Location"] == listed
    assert hidden(staff.get(f"{LIST}decide/replay/?ids={row.pk}&back=//elsewhere.example/").text)["back"] == LIST


def test_large_numbers_have_separators(staff: Client) -> None:
    OutboxEvent.objects.bulk_create(
        OutboxEvent(tenant_id="acme", topic="orders", dedupe_key=str(number), payload={}, status="failed")
        for number in range(1_000)
    )
    rows = list(OutboxEvent.objects.all())
    ids = ",".join(str(row.pk) for row in rows)
    asked = " ".join(staff.get(f"{LIST}decide/discard/", {"ids": ids}).text.split())
    assert "1,000 events of 1 tenant</strong> (1,000 failed)" in asked
    confirm(staff, "discard", *rows)
    assert "Discarded 1,000 events." in staff.get(LIST).text


def test_what_is_selected_and_what_matches_are_told_apart(staff: Client) -> None:
    failed()
    page = staff.get(LIST).text
    for verb in ("Replay", "Discard", "Requeue"):
        assert f">{verb} selected ...</option>" in page
        assert f">{verb} everything matching ...</a>" in page
