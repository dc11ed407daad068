"""Pages that refresh themselves: their span, and the fragments that a script fetches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse

from circuits.console import limits
from outbox import conf
from outbox.operations.series import Span

RHYTHMS = (5, 15, 60)
RHYTHM = 15
"""Seconds between two looks, unless the viewer chose otherwise."""


def span_of(request: HttpRequest) -> Span:
    """What the address asks for; an hour if it asks for nothing that there is."""
    asked = request.GET.get("span", "")
    return Span(asked) if asked in list(Span) else Span.HOUR


def controls(request: HttpRequest) -> dict[str, Any]:
    """For the template `live_bar.html`."""
    return {"span": span_of(request), "spans": list(Span), "rhythms": RHYTHMS, "rhythm": RHYTHM}


def address(request: HttpRequest, name: str, *args: str, **query: str) -> str:
    """Of a page of the admin that the request is on, with the same span."""
    found = reverse(f"admin:{name}", args=args, current_app=getattr(request, "current_app", None))
    return f"{found}?{urlencode({'span': span_of(request).value, **query})}"


def fragment(view: Callable[..., HttpResponse], *, site: AdminSite) -> Callable[..., HttpResponseBase]:
    """A view for a script to fetch: when it takes too long it says so in a paragraph and not in a page."""
    return limits.limited(view, site=site, using=lambda: conf.get().database, fragment=True)
