"""Jobs in the admin: preview, reason, progress, and who may do and see what."""

from __future__ import annotations

import html
import re
import time
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from circuits.models import StaffTenantScope
from outbox.models import EventStatus, JobVerb, OperatorAction, OutboxEvent, OutboxJob
from outbox.operations.filters import Filter
from outbox.operations.jobs.states import Action
from tests.outbox.operations.jobs.scene import DEAD, job, started, work
from tests.outbox.operations.rows import event, failed, status
from tests.support.confirming import hidden
from tests.support.markup import inline

pytestmark = pytest.mark.django_db

JOBS = "/admin/outbox/outboxjob/"
EVENTS = "/admin/outbox/outboxevent/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ann"))
    return client


def user_with(*permissions: str, tenants: tuple[str, ...] = ()) -> User:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions, content_type__app_label="outbox"))
    StaffTenantScope.objects.bulk_create(StaffTenantScope(user=user, tenant_id=tenant) for tenant in tenants)
    return user


def start_page(client: Client, verb: str = "replay", query: str = "status__exact=failed") -> Any:
    return client.get(f"{JOBS}start/{verb}/?{query}")


def start(client: Client, verb: str = "replay", query: str = "status__exact=failed", **fields: str) -> Any:
    values = hidden(start_page(client, verb, query).text)
    return client.post(f"{JOBS}start/{verb}/?{query}", {**values, "reason": "the topic is there", **fields})


def text_of(page: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def test_a_list_leads_to_a_preview_a_reason_and_a_job(staff: Client) -> None:
    rows = [failed(1), failed(2, tenant_id="zeta"), event(3)]
    page = staff.get(f"{EVENTS}?status__exact=failed&tenant=acme").text
    assert f"{JOBS}start/replay/?status__exact=failed&amp;tenant=acme" in page
    text = text_of(start_page(staff))
    assert "2 events of 2 tenants (2 failed)" in text
    assert f"failed events up to number {rows[2].pk}" in text
    response = start(staff, rate="7")
    found = OutboxJob.objects.get()
    assert response.url.startswith(f"{JOBS}{found.pk}/change/?back=")
    assert (found.requested_by, found.address, found.reason, found.rate) == (
        "ann",
        "127.0.0.1",
        "the topic is there",
        7,
    )
    assert (found.preview, found.preview_more, found.tenants) == (2, False, None)
    assert [status(row) for row in rows] == ["failed", "failed", "pending"]
    work(found.pk)
    assert [status(row) for row in rows] == ["pending"] * 3


def test_what_came_after_the_preview_is_not_touched(staff: Client) -> None:
    failed(1)
    values = hidden(start_page(staff).text)
    late = failed(2)
    staff.post(f"{JOBS}start/replay/?status__exact=failed", {**values, "reason": "x"})
    work(OutboxJob.objects.get().pk)
    assert status(late) == "failed"


def test_a_reason_is_required_and_a_rate_is_possible(staff: Client) -> None:
    failed()
    for fields in ({"reason": " "}, {"rate": "0"}, {"rate": "x"}):
        response = start(staff, **fields)
        assert response.status_code == 200
        assert "errorlist" in response.text
    assert not OutboxJob.objects.exists()


@pytest.mark.parametrize(
    ("verb", "query", "why"),
    [
        ("replay", "status__exact=pending", "pending events cannot be replayed"),
        ("discard", "status__exact=sent", "sent events cannot be discarded"),
        ("requeue", "status__exact=failed", "failed events cannot be requeued"),
    ],
)
def test_what_cannot_be_done_is_said_and_leads_back(staff: Client, verb: str, query: str, why: str) -> None:
    page = start_page(staff, verb, query).text
    assert why in page
    assert "<form method" not in page.split("This cannot be done")[1]
    assert f"{EVENTS}?" in page
    response = staff.post(f"{JOBS}start/{verb}/?{query}", {"reason": "x"})
    assert response.status_code == 200
    assert not OutboxJob.objects.exists()


def test_sent_events_are_replayed_if_a_box_is_ticked(staff: Client) -> None:
    sent, dead = event(status=EventStatus.SENT), failed()
    assert "deliberate duplicates" in start_page(staff, query="status__exact=sent").text
    assert "duplicate is asked for" in start(staff, query="status__exact=sent").text
    start(staff, query="", duplicate_sent="on")
    work(OutboxJob.objects.get().pk)
    assert (status(sent), status(dead)) == ("pending", "pending")


def test_there_are_no_other_verbs_and_filters(staff: Client) -> None:
    assert start_page(staff, "delete").status_code == 404
    assert start_page(staff, query="status__exact=eaten").status_code == 404


@pytest.mark.parametrize("verb", JobVerb.values)
def test_the_right_to_start_is_checked_on_the_server(client: Client, verb: str) -> None:
    failed()
    others = [f"{name}_outboxevent" for name in JobVerb.values if name != verb]
    client.force_login(user_with("view_outboxevent", "view_outboxjob", *others))
    query = "" if verb == "requeue" else "status__exact=failed"
    assert f"start/{verb}/" not in client.get(EVENTS).text
    assert client.get(f"{JOBS}start/{verb}/?{query}").status_code == 403
    assert client.post(f"{JOBS}start/{verb}/?{query}", {"reason": "x"}).status_code == 403
    assert not OutboxJob.objects.exists()


def test_whoever_may_not_see_jobs_can_start_one_and_returns_to_the_list(client: Client) -> None:
    failed()
    client.force_login(user_with("view_outboxevent", "replay_outboxevent"))
    assert start(client).url == f"{EVENTS}?status__exact=failed"
    assert client.get(f"{JOBS}{OutboxJob.objects.get().pk}/change/").status_code == 403


def test_a_forged_form_is_refused(staff: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    job_id = started()
    assert strict.post(f"{JOBS}start/replay/", {"reason": "x"}).status_code == 403
    assert strict.post(f"{JOBS}{job_id}/move/cancel/", {"reason": "x"}).status_code == 403
    assert job(job_id).state == "queued"


def test_a_job_of_scoped_staff_touches_their_tenants_alone(client: Client) -> None:
    ours, theirs = failed(tenant_id="acme"), failed(tenant_id="zeta")
    client.force_login(user_with("view_outboxevent", "view_outboxjob", "replay_outboxevent", tenants=("acme",)))
    assert "1 event of 1 tenant" in text_of(start_page(client))
    assert start_page(client, query="tenant=zeta").status_code == 404
    start(client)
    found = OutboxJob.objects.get()
    assert found.tenants == ["acme"]
    work(found.pk)
    assert (status(ours), status(theirs)) == ("pending", "failed")


def test_jobs_of_other_tenants_do_not_exist(client: Client) -> None:
    ours, theirs, everyones = started(tenants=["acme"]), started(given=Filter(tenant_id="zeta")), started()
    client.force_login(user_with("view_outboxjob", "replay_outboxevent", tenants=("acme",)))
    page = client.get(JOBS).text
    assert f"{JOBS}{ours}/change/" in page
    for other in (theirs, everyones):
        assert f"{JOBS}{other}/change/" not in page
        for path in ("change/", "figures/", "move/cancel/"):
            assert client.get(f"{JOBS}{other}/{path}").status_code == 404
        assert client.post(f"{JOBS}{other}/move/cancel/", {"reason": "x"}).status_code == 404
        assert job(other).state == "queued"


def test_the_page_of_a_job_says_how_far_it_is(staff: Client) -> None:
    for second in range(4):
        failed(second)
    job_id = started(expected=4)
    OutboxJob.objects.update(done=2, skipped={"changing": 1})
    page = staff.get(f"{JOBS}{job_id}/change/")
    text = text_of(page)
    assert "75% of 4 events" in text
    assert "1 that somebody was changing" in text
    assert "Replay failed events up to number" in text
    assert 'value="75"' in page.text
    assert f'data-live-part="{JOBS}{job_id}/figures/"' in page.text
    OutboxJob.objects.update(preview=10_000, preview_more=True)
    assert "more than 10,000" in text_of(staff.get(f"{JOBS}{job_id}/figures/"))
    work(job_id)
    assert "All of it is done" in text_of(staff.get(f"{JOBS}{job_id}/figures/"))


def test_figures_cost_few_queries(staff: Client) -> None:
    job_id = started()
    with CaptureQueriesContext(connection) as seen:
        assert "no-store" in staff.get(f"{JOBS}{job_id}/figures/")["Cache-Control"]
    ours = [each["sql"] for each in seen if "outbox_jobs" in each["sql"]]
    assert len(ours) <= 2


@pytest.mark.parametrize(("action", "becomes"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_job_is_paused_and_cancelled_with_a_reason(staff: Client, action: str, becomes: str) -> None:
    job_id = started()
    assert f"{JOBS}{job_id}/move/{action}/" in staff.get(f"{JOBS}{job_id}/change/").text
    assert staff.get(f"{JOBS}{job_id}/move/{action}/").status_code == 200
    assert "errorlist" in staff.post(f"{JOBS}{job_id}/move/{action}/", {"reason": ""}).text
    assert job(job_id).state == "queued"
    response: Any = staff.post(f"{JOBS}{job_id}/move/{action}/", {"reason": "wait"})
    assert response.url == f"{JOBS}{job_id}/change/"
    assert job(job_id).state == becomes
    recorded = OperatorAction.objects.latest("id")
    assert (recorded.verb, recorded.actor, recorded.address) == (f"job_{becomes}", "ann", "127.0.0.1")


def test_what_is_over_stays_over_and_that_is_said(staff: Client) -> None:
    job_id = started()
    work(job_id)
    page = staff.post(f"{JOBS}{job_id}/move/cancel/", {"reason": "late"}, follow=True).text
    assert "Nothing was changed: the job is done" in page
    assert "/move/" not in page
    assert staff.get(f"{JOBS}{job_id}/move/eat/").status_code == 404


def test_moving_a_job_takes_the_right_of_its_verb(client: Client) -> None:
    job_id = started()
    client.force_login(user_with("view_outboxjob", "discard_outboxevent"))
    assert "/move/" not in client.get(f"{JOBS}{job_id}/change/").text
    assert client.post(f"{JOBS}{job_id}/move/cancel/", {"reason": "x"}).status_code == 403
    assert job(job_id).state == "queued"


def test_a_job_that_no_worker_looks_for_says_so(staff: Client) -> None:
    job_id = started()
    OutboxJob.objects.update(offered_at="2020-01-01T00:00Z")
    assert "No worker looks for jobs" in staff.get(f"{JOBS}{job_id}/change/").text


def test_the_list_says_what_each_job_is_about(staff: Client) -> None:
    assert "No job yet" in staff.get(JOBS).text
    started(JobVerb.DISCARD, DEAD.narrowed(topic="orders", error_class="topic"))
    text = text_of(staff.get(JOBS))
    assert "failed events for topic orders that failed with topic up to number" in text
    assert text_of(staff.get(f"{JOBS}?state__exact=done")).count("orders") == 0


def test_dead_letters_stand_in_groups_that_one_click_replays(staff: Client) -> None:
    for second in range(3):
        failed(second, tenant_id=f"t{second}")
    failed(9, topic="bills", error_class="poison")
    page = staff.get(f"{JOBS}dead-letters/")
    assert [
        (kind, [(row["group"].name, row["group"].events) for row in rows]) for kind, _, rows in page.context["kinds"]
    ] == [
        ("Error class", [("topic", 3), ("poison", 1)]),
        ("Topic", [("orders", 3), ("bills", 1)]),
    ]
    (url,) = re.findall(r'href="([^"]*start/replay/[^"]*error_class=poison[^"]*)"', page.text)
    assert "1 event of 1 tenant" in text_of(staff.get(url.replace("&amp;", "&")))


def test_groups_of_other_tenants_are_not_counted(client: Client) -> None:
    failed(1), failed(2, tenant_id="zeta"), failed(3, tenant_id="zeta", error_class="secret")
    client.force_login(user_with("view_outboxevent", tenants=("acme",)))
    page = client.get(f"{JOBS}dead-letters/")
    (by_class, _) = page.context["kinds"]
    assert [(row["group"].name, row["group"].events, row["starts"]) for row in by_class[2]] == [("topic", 1, [])]
    assert "secret" not in page.text
    client.force_login(User.objects.create_user("eve", is_staff=True))
    assert client.get(f"{JOBS}dead-letters/").status_code == 403


def test_retries_are_requeued_by_a_click(staff: Client) -> None:
    row = event(status=EventStatus.SCHEDULED, attempts=2)
    page = staff.post(EVENTS, {"action": "requeue", "_selected_action": [row.pk]}).text
    assert "1 event of 1 tenant" in page
    staff.post(f"{EVENTS}decide/requeue/", {"ids": str(row.pk), "reason": "the broker is back"})
    assert status(row) == "pending"


def test_pages_have_no_inline_script_or_style(staff: Client) -> None:
    failed()
    job_id = started()
    paths = ("", f"{job_id}/change/", f"{job_id}/figures/", f"{job_id}/move/cancel/", "dead-letters/", "start/replay/")
    for path in paths:
        assert inline(staff.get(f"{JOBS}{path}").text) == []


def test_every_action_has_words(staff: Client) -> None:
    job_id = started()
    for action in (Action.PAUSE, Action.RESUME, Action.CANCEL):
        assert action.value.capitalize() in staff.get(f"{JOBS}{job_id}/move/{action.value}/").text


def test_a_job_leads_back_to_the_list_that_it_was_started_from(staff: Client) -> None:
    failed()
    query = "status__exact=failed&tenant=acme"
    listed = html.escape(f"{EVENTS}?{query}")
    page = staff.get(start(staff, query=query).url)
    assert f'<a href="{listed}">Back to where it was started</a>' in page.text
    job_id = OutboxJob.objects.get().pk
    here = page.request["PATH_INFO"] + "?" + page.request["QUERY_STRING"]
    (figures,) = re.findall(r'data-live-part="([^"]+)"', page.text)
    links = [
        re.findall(r'href="([^"]+/move/pause/[^"]*)"', each.text) for each in (page, staff.get(html.unescape(figures)))
    ]
    assert links[0] == links[1] == [f"{JOBS}{job_id}/move/pause/?back={quote(here, safe='')}"]
    move = html.unescape(links[0][0])
    assert f'href="{here}" class="closelink"' in staff.get(move).text
    assert staff.post(move, {"reason": "later"})["Location"] == here
    elsewhere = staff.get(f"{JOBS}{job_id}/change/?back=https://elsewhere.example/").text
    assert "elsewhere.example" not in elsewhere
    assert "Back to where" not in elsewhere


def test_a_job_that_found_nothing_is_not_said_to_be_uncounted(staff: Client) -> None:
    job_id = started(expected=0)
    text = text_of(staff.get(f"{JOBS}{job_id}/figures/"))
    assert "Nothing matched when it was asked for." in text
    assert "not counted to the end" not in text


def test_no_event_is_taken_that_has_grown_old_since_it_was_shown(staff: Client) -> None:
    now = timezone.now()
    old = failed(created_at=now - timedelta(hours=2))
    query = "status__exact=failed&tenant=acme&older_than=1h"
    shown = hidden(start_page(staff, query=query).text)
    later = failed(created_at=datetime.fromisoformat(shown["created_before"]) + timedelta(microseconds=1))
    OutboxEvent.objects.filter(pk=later.pk).update(id=old.pk - 1)
    time.sleep(0.01)
    page = f"{JOBS}start/replay/?{query}"
    assert "1 event of 1 tenant" in text_of(staff.post(page, {**shown, "reason": " "}))
    staff.post(page, {**shown, "reason": "all of them"})
    (found,) = OutboxJob.objects.all()
    assert found.filter["created_before"] == shown["created_before"]
    work(found.pk)
    assert (status(old), EventStatus.FAILED) == ("pending", OutboxEvent.objects.get(pk=old.pk - 1).status)


def test_what_was_shown_can_be_narrowed_and_not_widened(staff: Client) -> None:
    query = "status__exact=failed&older_than=1d"
    page, later = f"{JOBS}start/replay/?{query}", (timezone.now() + timedelta(days=9)).isoformat()
    for given in ("nonsense", "2026-01-01T00:00:00", "1" * 40):
        text = staff.post(page, {"created_before": given, "reason": "x"}).text
        assert "It is not known any more which events were shown" in text
    assert not OutboxJob.objects.exists()
    staff.post(page, {"created_before": later, "reason": "x"})
    kept = datetime.fromisoformat(OutboxJob.objects.get().filter["created_before"])
    assert kept <= timezone.now() - timedelta(days=1)
    OutboxJob.objects.all().delete()
    staff.post(f"{JOBS}start/replay/?status__exact=failed", {"created_before": later, "reason": "x"})
    assert "created_before" not in OutboxJob.objects.get().filter


def test_times_in_what_a_job_is_about_have_their_age(staff: Client) -> None:
    given = DEAD.narrowed(created_before=timezone.now() - timedelta(hours=2))
    page = f"{JOBS}{started(given=given)}/"
    for where in (f"{page}change/", f"{page}move/pause/", JOBS):
        said = " ".join(staff.get(where).text.split())
        assert re.search(r'created before <time datetime="[^>]+>[^<]+</time> <span class="age">\(2 h ago\)', said), (
            where
        )
    said = " ".join(start_page(staff, query="status__exact=failed&older_than=1h").text.split())
    assert 'created before <time datetime="' in said
