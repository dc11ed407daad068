"""What state something is in: a word and a sign, and a colour for whoever sees it."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

_LOOKS = {
    "closed": ("good", "\N{CHECK MARK}"),
    "open": ("bad", "\N{MULTIPLICATION X}"),
    "half_open": ("warn", "\N{CIRCLE WITH LEFT HALF BLACK}"),
    "forced_open": ("bad", "\N{MULTIPLICATION X}"),
    "forced_closed": ("warn", "\N{CHECK MARK}"),
    "sent": ("good", "\N{CHECK MARK}"),
    "pending": ("busy", "\N{RIGHTWARDS ARROW}"),
    "scheduled": ("busy", "\N{DOUBLE VERTICAL LINE}"),
    "failed": ("bad", "\N{MULTIPLICATION X}"),
    "discarded": ("quiet", "\N{EN DASH}"),
    "paused": ("warn", "\N{DOUBLE VERTICAL LINE}"),
    "alive": ("good", "\N{CHECK MARK}"),
    "silent": ("bad", "\N{MULTIPLICATION X}"),
    "running": ("busy", "\N{RIGHTWARDS ARROW}"),
    "done": ("good", "\N{CHECK MARK}"),
    "cancelled": ("quiet", "\N{EN DASH}"),
}


def badge(state: str, text: str = "") -> SafeString:
    """The state as staff read it; `text` instead of its own name. A state that is not known looks neutral."""
    look, sign = _LOOKS.get(state, ("quiet", "\N{BULLET}"))
    words = text or state.replace("_", " ")
    return format_html('<span class="badge badge-{}"><span aria-hidden="true">{}</span> {}</span>', look, sign, words)
