"""Times and numbers as every page of the console writes them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from circuits.console import ages

NOTHING = "\N{EN DASH}"
SERVERS = "This is the server's zone, whatever your browser's is."
_RECORDED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def age(at: datetime | None) -> str:
    """How long ago."""
    return NOTHING if at is None else ages.duration(timezone.now() - at)


def ahead(at: datetime | None) -> str:
    """How long from now; nothing if it is over."""
    left = timedelta(0) if at is None else at - timezone.now()
    return f"in {ages.duration(left)}" if left > timedelta(0) else ""


def moment(at: datetime | None) -> str | SafeString:
    """A time with its age beside it."""
    if at is None:
        return NOTHING
    return format_html('{} <span class="age">({})</span>', clock(at), ahead(at) or f"{age(at)} ago")


def clock(at: datetime | None) -> str | SafeString:
    """A time of today without its date; a script may put it into the viewer's zone."""
    if at is None:
        return NOTHING
    here = timezone.localtime(at)
    same_day = here.date() == timezone.localdate()
    return _time(at, f"{here:%H:%M:%S}" if same_day else f"{here:%Y-%m-%d %H:%M:%S}", kind="second")


def recorded(text: str) -> str | SafeString:
    """A time as records have it, as `clock` writes it; any other text as it is."""
    return clock(datetime.fromisoformat(text)) if _RECORDED.fullmatch(text) else text


def minute(at: datetime) -> SafeString:
    """Hours and minutes alone."""
    return _time(at, f"{timezone.localtime(at):%H:%M}", kind="minute")


def zone() -> str:
    """In which people's entries are read, unless they say another one: the server's."""
    return str(timezone.get_current_timezone())


def zone_of(name: str) -> ZoneInfo | None:
    """None for a name that the server knows no zone by."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def number(value: float | None) -> str:
    """As it is, with separators; a dash where there is none."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}".rstrip("0")


def _time(at: datetime, text: str, *, kind: str) -> SafeString:
    full = f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}"
    return format_html('<time datetime="{}" data-clock="{}" title="{}">{}</time>', iso(at), kind, full, text)
