"""The overview: the same for every size, each user's own tenants alone, and what to do next where there is nothing."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from circuits.models import TenantCircuit
from outbox.admin import overview as page_of_overview
from outbox.models import BacklogCount, MinuteCount, OutboxRelay, TenantBacklog, TenantPolicy
from tests.outbox.admin import people
from tests.support.budgets import questions
from tests.support.markup import inline

pytestmark = pytest.mark.django_db

OVERVIEW = "/admin/outbox/overview/"
FIGURES = f"{OVERVIEW}live/figures/"
CHARTS = f"{OVERVIEW}live/charts/"
SEEN_BY = {"index": "/admin/", "page": OVERVIEW, "fragment": FIGURES}


def count(*tenants: str, pending: int = 3) -> None:
    """As if all had just been counted."""
    now = timezone.now()
    old = now - timedelta(hours=3, minutes=20, seconds=30)
    TenantBacklog.objects.bulk_create(
        TenantBacklog(tenant_id=each, pending=pending, oldest_pending_at=old, failed=1, taken_at=now)
        for each in tenants
    )
    figures = {"taken_at": now, "pending": pending * len(tenants), "tenants": len(tenants), "failed": len(tenants)}
    BacklogCount.objects.update_or_create(defaults={**figures, "oldest_pending_at": old, "next_at": now})


def publish(tenant: str, *, minutes: int = 5, sent: int = 1_200) -> None:
    """As if relays had sent so many each minute."""
    now = timezone.now().replace(second=0, microsecond=0)
    for ago in range(1, minutes + 1):
        for whose in (tenant, "*"):
            MinuteCount.objects.update_or_create(
                tenant_id=whose,
                minute=now - timedelta(minutes=ago),
                defaults={"sent": sent, "waiting": 3, "latency": [0, 0, sent]},
            )


def sign_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


@pytest.fixture
def staff(client: Client) -> Client:
    return sign_in(client, people.superuser())


@pytest.mark.parametrize("path", SEEN_BY.values(), ids=SEEN_BY)
def test_figures_tenants_and_relays_are_seen_at_a_glance(staff: Client, path: str) -> None:
    count("acme", "globex", pending=19_000)
    TenantCircuit.objects.create(
        tenant_id="acme", name="publish", state="open", open_until=timezone.now() + timedelta(minutes=1)
    )
    OutboxRelay.objects.create(host="host-1", pid=17, version="0.1.0", rate=1_240)
    page = staff.get(path).text
    for figure in ("38,000", "3 h 20 min", "1,240 events/s", "1/1", "host-1"):
        assert figure in page
    assert page.index("tenant-acme") < page.index("tenant-globex")
    assert inline(page) == []


def test_the_index_keeps_its_list_of_apps(staff: Client) -> None:
    page = staff.get("/admin/").text
    assert "Tenants, worst off first" in page
    assert 'href="/admin/outbox/outboxevent/"' in page
    assert 'href="/admin/outbox/overview/"' in page
    assert "Tenants, worst off first" not in staff.get("/admin/outbox/").text


def test_charts_show_what_was_sent_and_how_long_it_took(staff: Client) -> None:
    publish("acme")
    for path in (OVERVIEW, CHARTS):
        page = staff.get(path).text
        assert "Events per minute" in page
        assert '<td class="numeric">1,200</td>' in page
        assert re.search(r"p99 <strong>[\d.]+ ms", page)


@pytest.mark.parametrize("span", ["15m", "1h", "24h"])
def test_the_span_stands_in_the_address_and_stays(staff: Client, span: str) -> None:
    count("acme")
    page = staff.get(f"{OVERVIEW}?span={span}").text
    assert f'<a href="?span={span}" aria-current="true">' in page
    assert f"{FIGURES}?span={span}" in page
    assert f"back=/admin/outbox/overview/%3Fspan%3D{span}" in page


def test_a_span_that_there_is_not_is_an_hour(staff: Client) -> None:
    assert '<a href="?span=1h" aria-current="true">' in staff.get(f"{OVERVIEW}?span=2y").text


def test_what_is_not_refreshed_by_a_script_is_by_a_link(staff: Client) -> None:
    assert '<a class="button" href="?span=1h" data-live-now>Refresh</a>' in staff.get(OVERVIEW).text


def test_a_viewer_sees_no_pause(client: Client) -> None:
    count("acme")
    page = sign_in(client, people.viewer()).get(OVERVIEW).text
    assert ">Open</a>" in page
    assert "Pause" not in page
    assert 'name="tenant" value=' not in page


def test_an_operator_pauses_and_comes_back(client: Client) -> None:
    count("acme")
    sign_in(client, people.operator())
    button = re.search(r'href="([^"]*decide/pause/[^"]*)" aria-label="Pause acme"', client.get(OVERVIEW).text)
    assert button
    asked = client.get(button[1].replace("&amp;", "&")).text
    back = re.search(r'name="back" value="([^"]*)"', asked)
    assert back
    done = client.post("/admin/outbox/tenantpolicy/decide/pause/", {"tenant": "acme", "reason": "x", "back": back[1]})
    assert done["Location"] == f"{OVERVIEW}?span=1h"
    assert 'aria-label="Resume acme"' in client.get(OVERVIEW).text


def test_a_pause_of_everyone_is_shown_with_who_and_why(client: Client) -> None:
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_by="ann", paused_reason="acme asked for it")
    page = sign_in(client, people.operator()).get(OVERVIEW).text
    assert "by ann: acme asked for it" in page
    assert "Resume everyone" in page


def test_staff_limited_to_some_tenants_see_these_alone(client: Client) -> None:
    count("acme", "globex")
    publish("globex")
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_by="ann", paused_reason="globex asked for it")
    OutboxRelay.objects.create(host="host-1", pid=17, version="0.1.0")
    sign_in(client, people.operator(tenants=("acme",)))
    for path in (*SEEN_BY.values(), CHARTS):
        page = client.get(path).text
        assert "globex" not in page
        assert "1,200" not in page
        assert "host-1" not in page
        assert "Resume everyone" not in page
    assert "Everyone is paused" in client.get(FIGURES).text
    assert '<dd class="about">of 1 tenant</dd>' in client.get(FIGURES).text


@pytest.mark.parametrize("path", [OVERVIEW, FIGURES, CHARTS])
def test_staff_without_the_right_see_nothing(client: Client, path: str) -> None:
    assert client.get(path).status_code == 302
    sign_in(client, User.objects.create_user("bob", is_staff=True))
    assert client.get(path).status_code == 403
    assert "Tenants, worst off first" not in client.get("/admin/").text


def test_with_nothing_there_it_says_what_to_do_next(staff: Client) -> None:
    page = staff.get(OVERVIEW).text
    assert "No relay is alive" in page
    assert "python manage.py qcluster" in page
    assert "No tenant has an event yet." in page
    assert "docs/how-to/enqueue.md" in page
    assert "Nothing was enqueued, sent or failed in this time." in page


def test_old_figures_are_not_passed_off_as_new(staff: Client) -> None:
    count("acme")
    assert "these figures are old" not in staff.get(FIGURES).text
    BacklogCount.objects.update(taken_at=timezone.now() - timedelta(minutes=10.5), next_at=timezone.now())
    assert "counted 10 min" in staff.get(FIGURES).text


def test_a_broker_that_is_away_is_told_from_a_tenant_in_trouble(staff: Client) -> None:
    OutboxRelay.objects.create(host="host-1", pid=17, version="0.1.0")
    circuit = TenantCircuit.objects.create(
        tenant_id="*", name="publish", state="open", open_until=timezone.now() + timedelta(minutes=1)
    )
    assert "the broker does not answer" in staff.get(FIGURES).text
    TenantCircuit.objects.filter(pk=circuit.pk).update(override="forced_open", override_by="ann")
    assert "staff have stopped all publishing" in staff.get(FIGURES).text


def test_an_index_without_figures_is_still_an_index(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError("the tables are locked")

    monkeypatch.setattr(page_of_overview, "overview", refuse)
    page = staff.get("/admin/")
    assert page.status_code == 200
    assert "could not be read now" in page.text
    assert "tables are locked" not in page.text


def test_an_index_whose_figures_took_too_long_says_so(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def take_long(*_: Any, **__: Any) -> None:
        raise OperationalError("canceling statement due to statement timeout") from psycopg.errors.QueryCanceled()

    monkeypatch.setattr(page_of_overview, "overview", take_long)
    text = staff.get("/admin/").text
    assert "The database had no answer within 2 s" in text
    assert "<code>CIRCUITS_CONSOLE_TIMEOUT</code>" in text
    assert "could not be read now" not in text
    assert "Try again" in text


BUDGETS = [("/admin/", 6), (OVERVIEW, 6), (f"{OVERVIEW}?span=24h", 6), (FIGURES, 4), (CHARTS, 4)]


@pytest.mark.parametrize(("path", "most"), BUDGETS)
def test_its_questions_are_as_many_for_everyone_and_at_any_size(client: Client, path: str, most: int) -> None:
    everybody = (people.superuser(), people.viewer(), people.operator(tenants=("tenant-1", "tenant-2")))
    asked = {}
    for size in (10, 1_000):
        TenantBacklog.objects.all().delete()
        count(*(f"tenant-{number}" for number in range(size)))
        for user in everybody:
            sign_in(client, user)
            asked[user.username, size] = len(questions(client, path))
    assert max(asked.values()) <= most, asked
    assert {name: asked[name, 10] for name, _ in asked} == {name: asked[name, 1_000] for name, _ in asked}


@pytest.mark.parametrize("path", [OVERVIEW, "/admin/"])
def test_it_never_looks_at_events(staff: Client, path: str) -> None:
    count("acme")
    assert [each for each in questions(staff, path) if "outbox_events" in each] == []
