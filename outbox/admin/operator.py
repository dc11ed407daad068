"""Who works in the admin."""

from __future__ import annotations

from ipaddress import ip_address

from django.http import HttpRequest

from outbox.models import ActionSource
from outbox.operations.audit import Operator


def operator(request: HttpRequest) -> Operator:
    """The user, and the address that the server sees: behind a proxy that is the proxy's."""
    return Operator(name=request.user.get_username(), source=ActionSource.ADMIN, address=_address(request))


def _address(request: HttpRequest) -> str | None:
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        # A server behind a socket has none.
        return None
