"""The page to return to after a decision."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

PARAMETER = "back"


def way_back(request: HttpRequest, *, otherwise: str) -> str:
    """What the request says it came from, if that is a page of this host."""
    back = str(request.POST.get(PARAMETER) or request.GET.get(PARAMETER) or "")
    if url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return back
    return otherwise
