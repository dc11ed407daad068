"""Pages that ask before they change anything, and the answer to them."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from django.test import Client

from circuits.admin.confirming import CONFIRMED


def confirm(client: Client, page: str, fields: Mapping[str, Any]) -> Any:
    """Sends a form and, when the page asks whether that is meant, what it asks about once more."""
    answer = client.post(page, fields)
    asked = hidden(answer.text)
    return client.post(page, {**asked, "reason": fields["reason"]}) if CONFIRMED in asked else answer


def hidden(page: str) -> dict[str, str]:
    """What the page that asks would send beside what is typed into it; nothing of any other page."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    reader.found.pop("csrfmiddlewaretoken", None)
    return reader.found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._inside = given.get("class") == "ask"
        elif tag == "input" and self._inside and given.get("type") == "hidden":
            self.found[given["name"] or ""] = given.get("value") or ""
