"""`DATABASE_URL`, without a word of what it says where it cannot be understood: it holds a password."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

_ENGINE = "django.db.backends.postgresql"
_WAY_OUT = (
    "DATABASE_URL cannot be understood: write postgresql://user:password@host:port/name. In the user and the password "
    "some characters are escaped: / is %2F, ? is %3F, # is %23, @ is %40, : is %3A, [ is %5B, ] is %5D and % is %25."
)


class InvalidDatabaseUrl(ImproperlyConfigured):
    """The URL leads to no database."""


def parsed(url: str) -> dict[str, Any]:
    """As an entry of `DATABASES`. Raises `InvalidDatabaseUrl`, which does not show the URL."""
    scheme = url.partition("://")[0].strip()
    if environ.Env.DB_SCHEMES.get(scheme) != _ENGINE:
        raise InvalidDatabaseUrl("DATABASE_URL must begin with postgresql://: the outbox needs PostgreSQL.")
    try:
        found = _parsed(url.strip())
    except ValueError:
        found = {}
    # The cause is left out, since it quotes what was taken for the port: a part of the password.
    if not found.get("NAME") and "service" not in found.get("OPTIONS", {}):
        raise InvalidDatabaseUrl(_WAY_OUT)
    return found


def _parsed(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    # A password's / ? or # ends the host too early: then the @ before the real one stands behind it.
    if parts.fragment or "@" in parts.path + parts.query:
        return {}
    return dict(environ.Env.db_url_config(url))
