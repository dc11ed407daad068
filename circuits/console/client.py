"""From where somebody works in the admin."""

from __future__ import annotations

from ipaddress import ip_address

from django.http import HttpRequest

from circuits import conf
from circuits.events import Origin


def origin(request: HttpRequest) -> Origin:
    """The admin, and the client's address."""
    return Origin(source="admin", address=address(request))


def address(request: HttpRequest) -> str | None:
    """The client's address as the outermost of the proxies that are trusted saw it; None behind a socket.

    Each proxy adds on the right who came to it, so as many places from the right as there are proxies stands what
    cannot be made up. What stands further left, anybody may have written.
    """
    seen = _address(request.META.get("REMOTE_ADDR", ""))
    proxies = conf.get().console_proxies
    if proxies:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        # Fewer places than proxies: it came past one of them.
        return _address(forwarded[max(0, len(forwarded) - proxies)]) or seen
    return seen


def _address(text: str) -> str | None:
    """Without the port that some proxies add, and without the zone that no database knows."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None
