"""The page to return to after a decision."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

PARAMETER = "back"
_OF_LIST = "_changelist_filters"


def way_back(request: HttpRequest, *, otherwise: str) -> str:
    """What the request says it came from, if that is a page of this host."""
    back = str(request.POST.get(PARAMETER) or request.GET.get(PARAMETER) or "")
    if url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return back
    return otherwise


def list_before(request: HttpRequest, *, page: str) -> str:
    """The list at this address as it was filtered, if it led to the row's page that the request is for."""
    filters = request.GET.get(_OF_LIST)
    return f"{page}?{filters}" if filters else page


def with_back(address: str, back: str) -> str:
    """The address, saying where it came from."""
    return f"{address}?{urlencode({PARAMETER: back})}" if back else address
