"""The groups of staff once more: tests of transactions empty every table, also those that migrations have filled."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps
from django.contrib.auth.models import Group

from circuits.console import groups

_MIGRATIONS = (
    ("circuits", "0006_groups"),
    ("outbox", "0014_groups"),
    ("outbox", "0015_reveal"),
    ("somabrain", "0003_groups"),
)


def restore() -> None:
    """As the migrations made them."""
    if Group.objects.exists():
        return
    for app, name in _MIGRATIONS:
        groups.grant(apps, app=app, rights=import_module(f"{app}.migrations.{name}").RIGHTS, using="default")
