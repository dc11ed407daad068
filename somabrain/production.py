"""What production must not do with, and must not run on."""

from __future__ import annotations

import os
from collections.abc import Iterator

from django.core.exceptions import ImproperlyConfigured

DEVELOPMENT_KEY = "django-insecure-known-to-everyone-for-development-only"

_REQUIRED = ("SECRET_KEY", "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "ALLOWED_HOSTS")
_SECRETS = {"SECRET_KEY": 32, "METRICS_TOKEN": 16}
"""With the fewest characters that are hard to guess."""
_MADE_BY_DJANGO = "django-insecure-"
_PLACEHOLDER = "change-me"


def refuse_development() -> None:
    """Raises `ImproperlyConfigured`, naming all that is missing from the environment or is known to everybody."""
    if missing := [name for name in _REQUIRED if not os.environ.get(name, "").strip()]:
        raise ImproperlyConfigured(
            f"DEBUG is false, so set {', '.join(missing)}; "
            "or set DEBUG=true to develop on the embedded database and broker."
        )
    if known := list(_known()):
        raise ImproperlyConfigured(
            f"DEBUG is false, so secrets must be hard to guess: {', '.join(known)}. "
            "This makes one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'."
        )


def _known() -> Iterator[str]:
    for name, fewest in _SECRETS.items():
        value = os.environ.get(name, "").strip()
        if value.lower().startswith(_MADE_BY_DJANGO):
            yield f"{name} begins with {_MADE_BY_DJANGO}"
        elif _PLACEHOLDER in value.lower():
            yield f"{name} contains {_PLACEHOLDER}"
        elif value and len(value) < fewest:
            yield f"{name} has fewer than {fewest} characters"
