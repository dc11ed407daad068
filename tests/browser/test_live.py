"""Pages that refresh themselves take nothing out of anybody's hands, and say when they cannot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.utils import timezone
from playwright.sync_api import Locator, Page, Route, expect

from outbox import counting
from outbox.models import BacklogCount, OutboxRelay, TenantBacklog
from tests.browser import scene
from tests.browser.conftest import OpenPage

OVERVIEW = "/admin/outbox/overview/"
FIGURES = "**/live/figures/**"


@pytest.fixture(scope="module")
def ann(db: None) -> User:
    scene.build(events=60)
    counting.count_if_due(alias="default")
    # From now on figures are those that a test has written.
    BacklogCount.objects.update(next_at=timezone.now() + timedelta(days=1))
    return scene.people()["ann"]


@pytest.fixture
def page(open_page: OpenPage, ann: User) -> Iterator[Page]:
    """The overview, whose time goes on when a test says so."""
    page = open_page(ann)
    page.clock.install(time=0)
    page.clock.pause_at(1_000)
    page.goto(OVERVIEW)
    expect(state(page)).to_contain_text("Refreshed every 15 s.")
    yield page
    page.unroute_all(behavior="ignoreErrors")


def state(page: Page) -> Locator:
    return page.locator("[data-live-state]")


def later(page: Page, seconds: int) -> None:
    page.clock.run_for(seconds * 1_000)


def count_pending(figure: int) -> None:
    BacklogCount.objects.update(pending=figure)


def test_figures_follow_without_a_reload(page: Page) -> None:
    page.evaluate("window.untouched = true")
    count_pending(7_654_321)
    later(page, 16)
    expect(page.get_by_text("7,654,321")).to_be_visible()
    assert page.evaluate("window.untouched")


def test_the_button_refreshes_at_once(page: Page) -> None:
    count_pending(1_234_567)
    page.get_by_role("link", name="Refresh", exact=True).click()
    expect(page.get_by_text("1,234,567")).to_be_visible()


def test_what_was_opened_stays_open(page: Page) -> None:
    OutboxRelay.objects.update_or_create(host="host-of-this-test", defaults={"pid": 17, "version": "0.1.0"})
    page.reload()
    page.locator("#relays summary").click()
    count_pending(2_222_222)
    later(page, 16)
    expect(page.get_by_text("2,222,222")).to_be_visible()
    expect(page.get_by_text("host-of-this-test")).to_be_visible()


def test_selected_rows_are_left_alone(page: Page) -> None:
    row = page.get_by_label(f"Select {scene.NOISY}")
    row.check()
    count_pending(3_333_333)
    later(page, 17)
    expect(state(page)).to_have_text("Not refreshed while rows are selected.")
    expect(row).to_be_checked()
    assert not page.get_by_text("3,333,333").count()
    row.uncheck()
    later(page, 3)
    expect(page.get_by_text("3,333,333")).to_be_visible()


def test_whoever_walks_through_by_keyboard_is_not_thrown_out(page: Page) -> None:
    link = page.locator(f"#tenant-{scene.NOISY}")
    page.get_by_role("link", name="Refresh", exact=True).focus()
    while not link.evaluate("(each) => each === document.activeElement"):
        page.keyboard.press("Tab")
    later(page, 17)
    expect(state(page)).to_have_text("Not refreshed while the keyboard is in the figures.")
    expect(link).to_be_focused()


def test_a_hidden_tab_asks_for_nothing(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("""() => {
        Object.defineProperty(document, "hidden", {get: () => true, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    later(page, 300)
    assert asked == []
    count_pending(4_444_444)
    page.evaluate("""() => {
        delete document.hidden;
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    later(page, 1)
    expect(page.get_by_text("4,444,444")).to_be_visible()


def test_a_server_that_is_away_is_told_and_asked_less_and_less(page: Page) -> None:
    tried: list[str] = []

    def refuse(route: Route) -> None:
        tried.append(route.request.url)
        route.abort()

    page.route(FIGURES, refuse)
    later(page, 16)
    expect(state(page)).to_contain_text("the server cannot be reached. Trying again in 30 s.")
    expect(page.locator(".live.stale")).to_be_visible()
    later(page, 20)
    assert len(tried) == 1
    later(page, 11)
    expect(state(page)).to_contain_text("Trying again in 60 s.")
    page.unroute(FIGURES)
    later(page, 61)
    expect(state(page)).to_contain_text("Refreshed every 15 s.")
    expect(page.locator(".live.stale")).to_have_count(0)


def test_a_database_that_takes_too_long_is_told_in_the_servers_words(page: Page) -> None:
    said = render_to_string("admin/circuits/too_slow_fragment.html", {"seconds": 2})
    # Not routed: whatever is answered so fails a test.
    answer = "([status, said]) => { window.fetch = async () => new Response(said, {status}); }"
    page.evaluate(answer, [503, said])
    later(page, 16)
    expect(state(page)).to_contain_text(
        "the database had no answer within 2 s, so the question was ended (CIRCUITS_CONSOLE_TIMEOUT). Trying again in"
    )
    page.evaluate(answer, [502, "<h1>Bad gateway</h1>"])
    later(page, 31)
    expect(state(page)).to_contain_text("the server answered 502.")


def test_whoever_is_signed_out_is_told_and_nothing_is_asked_any_more(page: Page) -> None:
    page.context.clear_cookies()
    later(page, 16)
    expect(state(page)).to_contain_text("You are signed out")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    later(page, 300)
    assert asked == []


def test_the_rhythm_is_remembered(page: Page) -> None:
    page.get_by_label("every").select_option("off")
    expect(state(page)).to_have_text("Refresh is off.")
    page.goto("/admin/")
    expect(state(page)).to_have_text("Refresh is off.")


def test_times_are_those_of_the_viewer(open_page: OpenPage, ann: User) -> None:
    page = open_page(ann, zone="Asia/Kolkata")
    page.goto(OVERVIEW)
    expect(page.locator("[data-zone]")).to_have_text("Asia/Calcutta")
    time = page.locator(".as-of time")
    shown, said = time.inner_text(), time.get_attribute("datetime") or ""
    minutes = (int(said[11:13]) * 60 + int(said[14:16]) + 330) % 1_440
    assert shown[-8:-3] == f"{minutes // 60:02}:{minutes % 60:02}"


def test_times_that_are_typed_are_those_of_the_viewer(open_page: OpenPage, ann: User) -> None:
    page = open_page(ann, zone="Asia/Tokyo")
    page.goto("/admin/outbox/operatoraction/")
    begun = (timezone.now() + timedelta(minutes=2)).astimezone(ZoneInfo("Asia/Tokyo"))
    page.get_by_label("To (Asia/Tokyo)").fill(f"{begun:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_label("To (Asia/Tokyo)")).to_have_value(f"{begun:%Y-%m-%dT%H:%M}")
    expect(page.locator(".field-verb").first).to_be_visible()
    page.get_by_label("From (Asia/Tokyo)").fill(f"{begun:%Y-%m-%dT%H:%M}")
    page.get_by_label("To (Asia/Tokyo)").fill("")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("Nothing like this was done.")).to_be_visible()


def test_a_tenants_page_follows_too(page: Page) -> None:
    page.goto(f"/admin/outbox/tenant/{scene.LOCKED_OUT}/")
    page.evaluate("window.untouched = true")
    pending = page.locator(".tile", has_text="Pending").locator("dd").first
    expect(pending).not_to_have_text("5,555,555")
    TenantBacklog.objects.filter(tenant_id=scene.LOCKED_OUT).update(pending=5_555_555)
    later(page, 16)
    expect(pending).to_have_text("5,555,555")
    assert page.evaluate("window.untouched")
