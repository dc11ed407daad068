"""Somebody who may look at the admin."""

from __future__ import annotations

import secrets

from django.contrib.auth import get_user_model

from somabrain.errors import SomabrainError

USERNAME = "demo"

# Marks the account as the demo's own: it must not take over anybody else's.
_EMAIL = "demo@somabrain.invalid"


class AccountTaken(SomabrainError):
    """The demo's account belongs to somebody else."""


def renew() -> str:
    """Make sure that the demo's account exists, and give it a new random password, which is returned."""
    accounts = get_user_model().objects
    password = secrets.token_urlsafe(12)
    account, created = accounts.get_or_create(username=USERNAME, defaults={"email": _EMAIL})
    if not created and account.email != _EMAIL:
        raise AccountTaken(f"There is a user {USERNAME!r} who is not the demo's: rename that account.")
    account.is_staff = account.is_superuser = account.is_active = True
    account.set_password(password)
    account.save()
    return password
