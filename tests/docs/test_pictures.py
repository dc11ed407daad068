"""Each page of the console is pictured, and each picture is shown."""

from __future__ import annotations

import re

from tests.browser.make_screenshots import pictures
from tests.docs.pages import DOCS
from tests.docs.test_reference import PAGES

_SHOWN = re.compile(r"images/([\w-]+\.\w+)")


def test_every_picture_is_shown_and_none_is_missing() -> None:
    there = {path.name for path in (DOCS / "images").iterdir()}
    assert {name for page in PAGES for name in _SHOWN.findall(page.read_text())} == there
    assert {name for name in there if name.startswith("console-")} == set(pictures())


def test_the_page_of_all_shows_all() -> None:
    page = DOCS / "reference" / "console-pages.md"
    assert sorted(_SHOWN.findall(page.read_text())) == sorted(pictures())
