"""Who works in the admin."""

from __future__ import annotations

from django.http import HttpRequest

from circuits.console.client import address
from outbox.models import ActionSource
from outbox.operations.audit import Operator


def operator(request: HttpRequest) -> Operator:
    """The user, and the client's address."""
    return Operator(name=request.user.get_username(), source=ActionSource.ADMIN, address=address(request))
