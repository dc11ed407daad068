"""Figures, times and states as every page of the console writes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from circuits.console import ages, times
from circuits.console.badges import badge
from circuits.console.times import NOTHING
from outbox.console import scales

register = template.Library()
register.simple_tag(badge, name="badge")
for each in (times.age, times.ahead, times.moment, times.clock, times.minute, times.iso):
    register.filter(each.__name__, each)


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
