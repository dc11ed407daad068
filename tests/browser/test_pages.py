"""Every page of the console: nobody is kept from using it, it fits a telephone, and nothing foreign runs in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import psycopg
import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Page
from pytest_django import Settings

from tests.browser import scene
from tests.browser.conftest import opening
from tests.browser.pages import ASKED_FOR, PAGES, SENT
from tests.browser.service import Service
from tests.browser.watch import Watch
from tests.support import database

_EVERYTHING = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_COLOURS = ["color-contrast", "link-in-text-block"]
# Colours depend on the scheme and all else on the width, so everything is looked at in each of both, and once.
_LOOKS: tuple[tuple[Literal["light", "dark"], int, list[str]], ...] = (
    ("light", 320, _EVERYTHING),
    ("light", 1280, _COLOURS),
    ("dark", 1280, _EVERYTHING),
    ("dark", 320, _COLOURS),
)
# Colours that have just been changed are on their way. Style sheets are not read again: axe would break the policy.
_VIOLATIONS = """async (asked) => {
    await Promise.allSettled(document.getAnimations().map(({finished}) => finished));
    const rules = {runOnly: asked, resultTypes: ["violations"], preload: false};
    const found = await axe.run(document, rules);
    return found.violations.flatMap(({id, help, nodes}) => nodes.map(({html, target, failureSummary}) =>
        `${id}: ${help}: ${target}\\n  ${html.slice(0, 200)}\\n  ${failureSummary}`));
}"""
_TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
    .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
    .slice(0, 5).map((each) => each.outerHTML.slice(0, 200))"""
_WAY_PAST_THE_MENU = """() => {
    const link = document.querySelector("a[href], button, input, [tabindex]");
    return link.hash.length > 1 && document.querySelector(link.hash) !== null;
}"""
# Whatever looks like a time, but for what events and people say, and what the script itself says.
_BARE_TIMES = r"""() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const told = "time[data-clock], [data-clock-at], [data-live-state], script, pre, code, textarea, .module.clockbox";
    const found = [];
    while (texts.nextNode()) {
        const {data, parentElement} = texts.currentNode;
        const isTime = /\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|\b[ap]\.m\.|\b(noon|midnight)\b/.test(data);
        if (isTime && !parentElement.closest(told)) {
            found.push(parentElement.outerHTML.slice(0, 200));
        }
    }
    return found;
}"""
_SEND = """([path, fields]) => {
    const form = document.createElement("form");
    Object.assign(form, {method: "post", action: path});
    fields.csrfmiddlewaretoken = document.querySelector("[name=csrfmiddlewaretoken]").value;
    for (const [name, values] of Object.entries(fields)) {
        for (const value of [values].flat()) {
            form.append(Object.assign(document.createElement("input"), {type: "hidden", name, value}));
        }
    }
    document.body.append(form);
    form.submit();
}"""


@pytest.fixture(scope="module")
def ann(db: None) -> User:
    scene.build(events=60)
    return scene.people()["ann"]


@pytest.fixture(scope="module")
def window(browser: Browser, service: Service, ann: User) -> Iterator[tuple[Page, Watch]]:
    """One for all tests of this module: opening another takes longer than most of them."""
    watch = Watch()
    with opening(browser, service, watch) as open_page:
        yield open_page(ann), watch


@pytest.fixture
def page(window: tuple[Page, Watch]) -> Iterator[Page]:
    page, watch = window
    page.emulate_media(color_scheme="light")
    yield page
    page.unroute_all()
    watch.judge()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_keeps_nobody_out(page: Page, axe_script: str, name: str) -> None:
    resize(page, width=320)
    answer = page.goto(PAGES[name]())
    assert answer is not None
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    _assert_sound(page)
    assert not page.evaluate(_BARE_TIMES)
    page.evaluate(axe_script)
    found = []
    for scheme, width, asked in _LOOKS:
        page.emulate_media(color_scheme=scheme)
        resize(page, width=width)
        found += [f"{scheme}, {width} px: {each}" for each in page.evaluate(_VIOLATIONS, asked)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", ASKED_FOR)
def test_a_page_that_is_seldom_seen_keeps_nobody_out(page: Page, axe_script: str, name: str) -> None:
    answer = page.goto(ASKED_FOR[name]())
    assert answer is not None
    assert answer.status == 200
    _assert_keeps_nobody_out(page, axe_script)


@pytest.mark.parametrize("name", SENT)
def test_an_answer_to_a_form_keeps_nobody_out(page: Page, axe_script: str, name: str) -> None:
    page.goto("/admin/password_change/")
    with page.expect_navigation() as navigation:
        page.evaluate(_SEND, list(SENT[name]()))
    assert navigation.value is not None
    assert navigation.value.status == 200
    _assert_keeps_nobody_out(page, axe_script)


def test_a_page_that_took_too_long_keeps_nobody_out(
    page: Page, axe_script: str, ann: User, client: Client, settings: Settings
) -> None:
    """As the service would answer, whose own limit takes seconds."""
    settings.CIRCUITS_CONSOLE_TIMEOUT = 0.1
    client.force_login(ann)
    path = "/admin/outbox/outboxlane/"
    with psycopg.connect(database.url()) as other:
        other.execute("LOCK TABLE outbox_lanes")
        refused = client.get(path, {"q": "acme"})
    assert refused.status_code == 503
    answer: dict[str, Any] = {"status": 200, "content_type": "text/html", "body": refused.text}
    page.route(f"**{path}", lambda route: route.fulfill(**answer))
    page.goto(path)
    _assert_keeps_nobody_out(page, axe_script)


def _assert_keeps_nobody_out(page: Page, axe_script: str) -> None:
    """Where it is narrow, in one scheme: colours are those of the pages that are looked at in both."""
    resize(page, width=320)
    _assert_sound(page)
    page.evaluate(axe_script)
    found = page.evaluate(_VIOLATIONS, _EVERYTHING)
    assert not found, "\n".join(found)


def _assert_sound(page: Page) -> None:
    assert page.title().strip()
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.evaluate(_WAY_PAST_THE_MENU)
    assert not page.evaluate(_TOO_WIDE)
    resize(page, width=1600)
    assert not page.evaluate(_TOO_WIDE)
    resize(page, width=320)


def resize(page: Page, *, width: int) -> None:
    """The page is told a moment after the browser says that it has been."""
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_function("width => innerWidth === width", arg=width)
