"""Somebody who may look at the admin."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth import get_user_model
from django.db import Error, InterfaceError, transaction

from somabrain.errors import SomabrainError

USERNAME = "demo"

# Marks the account as the demo's own: it must not take over anybody else's.
_EMAIL = "demo@somabrain.invalid"


class AccountTaken(SomabrainError):
    """The demo's account belongs to somebody else."""


class StillActive(SomabrainError):
    """The demo has ended, and its superuser can still log in."""


@contextmanager
def on_duty() -> Iterator[str]:
    """The password of the demo's account, which nobody can log in with after the block, however that ends."""
    password = renew()
    try:
        yield password
    finally:
        _retire(password)


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


def _retire(password: str) -> None:
    """Unless another demo has the account by now, with a password of its own."""
    try:
        with transaction.atomic():
            account = get_user_model().objects.select_for_update().filter(username=USERNAME, email=_EMAIL).first()
            if account is not None and account.check_password(password):
                account.is_active = False
                account.set_unusable_password()
                account.save(update_fields=["is_active", "password"])
    except (Error, InterfaceError) as error:
        said = " ".join(str(error).split())
        raise StillActive(f"The superuser {USERNAME!r} is still active; deactivate that account. ({said})") from error
