"""A job in a browser: a group of dead letters is replayed and watched until it is done, and another is cancelled."""

from __future__ import annotations

from django.contrib.auth.models import User
from playwright.sync_api import expect

from outbox.models import EventStatus, JobVerb, OutboxEvent, OutboxJob
from outbox.operations.filters import Filter
from outbox.operations.jobs import desk
from outbox.operations.jobs.work import run_slice
from tests.browser.conftest import OpenPage
from tests.outbox.operations.rows import ANN, failed


def test_a_group_is_replayed_and_watched_until_it_is_done(db: None, open_page: OpenPage) -> None:
    for second in range(4):
        failed(second, tenant_id="watched", error_class="watched")
    page = open_page(User.objects.create_superuser("watcher"))
    page.goto("/admin/outbox/outboxjob/dead-letters/")
    page.get_by_role("link", name="Replay this group ... watched").click()
    expect(page.get_by_text("4 events of 1 tenant")).to_be_visible()
    page.get_by_label("Reason").fill("the topic is there now")
    page.get_by_role("button", name="Start the replay").click()
    expect(page.get_by_text("0% of 4 events")).to_be_visible()
    assert OutboxEvent.objects.filter(error_class="watched", status=EventStatus.FAILED).count() == 4

    run_slice(OutboxJob.objects.latest("pk").pk, seconds=60)
    expect(page.get_by_text("All of it is done.")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Refreshed every 5 s")
    assert OutboxEvent.objects.filter(tenant_id="watched", status=EventStatus.PENDING).count() == 4


def test_a_job_is_cancelled_by_keyboard(db: None, open_page: OpenPage) -> None:
    failed(tenant_id="cancelled")
    job_id = desk.start(verb=JobVerb.REPLAY, given=Filter(tenant_id="cancelled"), by=ANN, reason="a mistake")
    page = open_page(User.objects.create_superuser("canceller"))
    page.goto(f"/admin/outbox/outboxjob/{job_id}/change/")
    page.get_by_role("link", name="Cancel ...").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Reason").focus()
    page.keyboard.type("the wrong tenant")
    page.keyboard.press("Enter")
    expect(page.get_by_text("cancelled", exact=True)).to_be_visible()
    assert OutboxJob.objects.get(pk=job_id).state == "cancelled"
