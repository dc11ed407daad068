"""Figures, times and states as every page of the console writes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from circuits.console.badges import badge
from outbox.console import ages, scales

register = template.Library()
register.simple_tag(badge, name="badge")

NOTHING = "\N{EN DASH}"


@register.filter
def figure(value: float | None) -> str:
    """With separators; a dash where there is none."""
    return NOTHING if value is None else scales.count(value)


@register.filter
def percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0%}"


@register.filter
def span(value: timedelta | float | None) -> str:
    """How long, in words."""
    if value is None:
        return NOTHING
    return ages.duration(value if isinstance(value, timedelta) else timedelta(seconds=value))


@register.filter
def age(at: datetime | None) -> str:
    """How long ago."""
    return NOTHING if at is None else ages.duration(timezone.now() - at)


@register.filter
def ahead(at: datetime | None) -> str:
    """How long from now; nothing if it is over."""
    left = timedelta(0) if at is None else at - timezone.now()
    return f"in {ages.duration(left)}" if left > timedelta(0) else ""


@register.filter
def moment(at: datetime | None) -> str | SafeString:
    """A time with its age beside it."""
    if at is None:
        return NOTHING
    return format_html('{} <span class="age">({})</span>', clock(at), ahead(at) or f"{age(at)} ago")


@register.filter
def clock(at: datetime | None) -> str | SafeString:
    """A time of today without its date; a script may put it into the viewer's zone."""
    if at is None:
        return NOTHING
    here = timezone.localtime(at)
    same_day = here.date() == timezone.localdate()
    return _time(at, f"{here:%H:%M:%S}" if same_day else f"{here:%Y-%m-%d %H:%M:%S}", kind="second")


@register.filter
def minute(at: datetime) -> SafeString:
    """Hours and minutes alone."""
    return _time(at, f"{timezone.localtime(at):%H:%M}", kind="minute")


@register.filter
def iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


@register.simple_tag
def zone() -> SafeString:
    """Of the times on this page."""
    return format_html("<span data-zone>{}</span>", timezone.get_current_timezone_name())


@register.inclusion_tag("admin/outbox/chart.html")
def chart(drawn: Any, empty: str = "Nothing happened in this time.") -> dict[str, Any]:
    """`empty`: what to say where nothing is known."""
    return {"chart": drawn, "empty": empty}


@register.inclusion_tag("admin/outbox/spark.html")
def spark(drawn: Any) -> dict[str, Any]:
    return {"spark": drawn}


def _time(at: datetime, text: str, *, kind: str) -> SafeString:
    full = f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}"
    return format_html('<time datetime="{}" data-clock="{}" title="{}">{}</time>', iso(at), kind, full, text)
