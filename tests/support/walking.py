"""Every address of the admin, and one request at a time that leaves nothing behind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver

from tests.support.database import fingerprint
from tests.support.walk_rows import Rows
from tests.support.walk_rules import ROWS, VERBS

_GAP = re.compile(r"<(?:\w+:)?(\w+)>")
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|TRUNCATE|MERGE)\b", re.IGNORECASE)
_OF_VERB = {"verb", "action", "app_label"}
_WATCHED = ("outbox_", "circuits_", "staff_", "somabrain_", "django_q_", "auth_user", "auth_group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address whose gaps are open, and the name of the rule for it."""

    rule: str
    route: str
    verb: str

    @property
    def names_row(self) -> bool:
        return any(gap not in _OF_VERB for gap in _GAP.findall(self.route))

    def path(self, rows: Rows) -> str:
        def filled(gap: re.Match[str]) -> str:
            return self.verb if gap[1] in _OF_VERB else quote(str(self._key(gap[1], rows)))

        return f"/admin/{_GAP.sub(filled, self.route)}"

    def _key(self, gap: str, rows: Rows) -> Any:
        if gap == "tenant_id":
            return rows.tenant
        return rows.keys[ROWS.get(self.rule) or ".".join(self.route.split("/")[:2])]


def places() -> Iterator[Place]:
    """Of everything that the admin's resolver knows, with each of its verbs."""
    for name, route in _routes(admin.site.urls[0], ""):
        for verb in VERBS.get(name, ("",)):
            yield Place(rule=f"{name}:{verb}" if verb else name, route=_plain(route), verb=verb)


def _routes(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        route = f"{before}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
        else:
            yield pattern.name or route, route


def _plain(route: str) -> str:
    """The few that are no routes but expressions, and the one that leads from rows to pages outside of the admin."""
    if route.startswith("^(?P<app_label>"):
        return "<app_label>/"
    if route.startswith("r/"):
        return "r/1/1/"
    return "nowhere/" if route == "(?P<url>.*)$" else route


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    location: str
    text: str
    """Of the page that it leads to as well, if it was followed."""
    changed: bool
    error: str


class Walker:
    """Somebody's browser. What a request changes is noticed, and taken back."""

    def __init__(self, client: Client) -> None:
        client.raise_request_exception = False
        self._client = client
        self._cookies = {name: each.value for name, each in client.cookies.items()}
        self._before = _watched()
        self._wrote = False

    def ask(self, path: str, query: Mapping[str, Any]) -> Answer:
        return self._answer("get", _with(path, query), {})

    def send(self, path: str, query: Mapping[str, Any], form: Mapping[str, Any], *, follow: bool = False) -> Answer:
        return self._answer("post", _with(path, query), form, follow=follow)

    def _answer(self, method: str, path: str, form: Mapping[str, Any], *, follow: bool = False) -> Answer:
        self._client.cookies.clear()
        for name, value in self._cookies.items():
            self._client.cookies[name] = value
        with transaction.atomic(), connection.execute_wrapper(self._noted):
            self._wrote = False
            response: Any = getattr(self._client, method)(path, form)
            text, location = response.content.decode(), response.headers.get("Location", "")
            if follow and location.startswith("/admin/"):
                text += self._client.get(location).content.decode()
            changed = self._wrote and _watched() != self._before
            transaction.set_rollback(True)
        exc_info = getattr(response, "exc_info", None)
        return Answer(
            status=response.status_code,
            location=location,
            text=text,
            changed=changed,
            error=repr(exc_info[1]) if exc_info else "",
        )

    def _noted(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        """Most requests only read, and a fingerprint costs more than they do."""
        self._wrote = self._wrote or _WRITES.search(str(sql)) is not None
        return execute(sql, params, many, context)


def _watched() -> list[tuple[Any, ...]]:
    """What is in the tables that the admin writes."""
    return fingerprint(name for name in connection.introspection.table_names() if name.startswith(_WATCHED))


def _with(path: str, query: Mapping[str, Any]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
