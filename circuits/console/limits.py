"""Pages whose questions to the database end in time, and that say so when one did not get its answer.

The limit holds for one transaction and ends with it: behind a pooler the session is somebody else's a moment later, and
other work of this process is not limited.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.contrib.admin import AdminSite
from django.db import OperationalError, connections, transaction
from django.http import HttpRequest, HttpResponseBase
from django.template.response import SimpleTemplateResponse, TemplateResponse

from circuits import conf
from circuits.timeouts import lower_statement_timeout, set_statement_timeout

View = Callable[..., HttpResponseBase]

NARROWER = (
    "Search for one tenant, or choose a filter, where the list has them: the more is given, the less has to be read."
)
_PAGE = "admin/circuits/too_slow.html"
_FRAGMENT = "admin/circuits/too_slow_fragment.html"
_DONE = "_circuits_done_for_good"


@contextmanager
def limit(*, using: str, seconds: float | None = None) -> Iterator[None]:
    """A transaction whose statements end after `seconds`, by default `CIRCUITS_CONSOLE_TIMEOUT`.

    Raises `OperationalError` from psycopg's `QueryCanceled` when one did. Inside of a transaction that is open already,
    that one's own limit is back afterwards.
    """
    connection = connections[using]
    milliseconds = max(1, round((conf.get().console_timeout if seconds is None else seconds) * 1_000))
    nested = connection.in_atomic_block
    with transaction.atomic(using=using):
        before = lower_statement_timeout(connection, milliseconds=milliseconds)
        yield
        if nested:
            set_statement_timeout(connection, before)


def limited(
    view: View, *, site: AdminSite, using: Callable[[], str], fragment: bool = False, narrower: str = NARROWER
) -> View:
    """The view under `limit` on the database that `using` names, its template included.

    When the limit is reached, nothing has been changed but what `done_for_good` was told of, and the answer is a page
    with status 503 that says so, what was asked and what to narrow; for a `fragment` a paragraph.
    """

    @functools.wraps(view)
    def in_time(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not site.has_permission(request):
            # Sent to the login, at no cost.
            return view(request, *args, **kwargs)
        try:
            with limit(using=using()):
                response = view(request, *args, **kwargs)
                if isinstance(response, SimpleTemplateResponse):
                    # Lists are read while they are written down.
                    response.render()
                return response
        except OperationalError as error:
            if not is_timeout(error):
                raise
        return _too_slow(request, site, template=_FRAGMENT if fragment else _PAGE, narrower=narrower)

    return in_time


def done_for_good(request: HttpRequest, what: str) -> None:
    """Say of what was committed in another session: the page's limit does not undo it."""
    setattr(request, _DONE, (*getattr(request, _DONE, ()), what))


def is_timeout(error: BaseException) -> bool:
    """Whether a statement was ended because it took too long, or by an administrator."""
    return isinstance(error.__cause__, psycopg.errors.QueryCanceled)


def _too_slow(request: HttpRequest, site: AdminSite, *, template: str, narrower: str) -> HttpResponseBase:
    context = {
        **site.each_context(request),
        "title": "The database took too long",
        "seconds": conf.get().console_timeout,
        "asked": [(name, value) for name, values in request.GET.lists() for value in values if value],
        "done": getattr(request, _DONE, ()),
        "changing": request.method not in ("GET", "HEAD"),
        "narrower": narrower,
    }
    response = TemplateResponse(request, template, context, status=503)
    response["Cache-Control"] = "no-store"
    return response
