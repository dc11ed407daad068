"""Every page of the console: nobody is kept from using it, it fits a telephone, and nothing foreign runs in it."""

from __future__ import annotations

from typing import Literal

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page

from tests.browser import scene
from tests.browser.conftest import OpenPage
from tests.browser.pages import PAGES

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


@pytest.fixture(scope="module")
def ann(db: None) -> User:
    scene.build(events=60)
    return scene.people()["ann"]


@pytest.fixture
def page(open_page: OpenPage, ann: User) -> Page:
    return open_page(ann)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_keeps_nobody_out(page: Page, axe_script: str, name: str) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    answer = page.goto(PAGES[name]())
    assert answer is not None
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert page.title().strip()
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.evaluate(_WAY_PAST_THE_MENU)
    assert not page.evaluate(_TOO_WIDE)
    page.evaluate(axe_script)
    found = []
    for scheme, width, asked in _LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        found += [f"{scheme}, {width} px: {each}" for each in page.evaluate(_VIOLATIONS, asked)]
    assert not found, "\n".join(found)
