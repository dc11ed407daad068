"""The system checks for what starts without them, such as a WSGI server."""

from __future__ import annotations

from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured


def refuse_errors(*tags: str) -> None:
    """Check as commands do before they start, once Django's apps are loaded. Asks neither the database nor the broker.

    `tags`: whose checks, such as `outbox` and `circuits`. Raises `ImproperlyConfigured`, with a line for each error.
    """
    errors = [each for each in run_checks(tags=tags) if each.is_serious() and not each.is_silenced()]
    if errors:
        raise ImproperlyConfigured("\n".join(_line(each) for each in errors))


def _line(error: CheckMessage) -> str:
    return " ".join(filter(None, (f"{error.id}:", error.msg, error.hint)))
