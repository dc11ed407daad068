"""The groups of staff: Viewer, Operator and Administrator. Each may what the one before it may, and more.

Migrations of all apps call this: what it does to a database stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.contrib.auth.management import create_permissions

VIEWER, OPERATOR, ADMINISTRATOR = "Viewer", "Operator", "Administrator"
ORDER = (VIEWER, OPERATOR, ADMINISTRATOR)

Rights = Mapping[str, Collection[str]]
"""By group, the permissions of one app that it has beyond those of the group before it."""


def grant(apps: Any, *, app: str, rights: Rights, using: str) -> None:
    """Let the groups have these rights, and make the groups that are missing. One that is there keeps what it has."""
    _ensure_permissions(apps, app, using)
    permissions = apps.get_model("auth", "Permission").objects.using(using).filter(content_type__app_label=app)
    groups = apps.get_model("auth", "Group").objects.using(using)
    for name, codenames in _cumulated(rights):
        found = list(permissions.filter(codename__in=codenames))
        missing = set(codenames) - {each.codename for each in found}
        if missing:
            raise LookupError(f"{app} has no permission {', '.join(sorted(missing))}")
        groups.get_or_create(name=name)[0].permissions.add(*found)


def revoke(apps: Any, *, app: str, rights: Rights, using: str) -> None:
    """Take these rights from the groups again. A group is deleted only if nothing and nobody is left in it."""
    permissions = apps.get_model("auth", "Permission").objects.using(using).filter(content_type__app_label=app)
    for name, codenames in _cumulated(rights):
        group = apps.get_model("auth", "Group").objects.using(using).filter(name=name).first()
        if group is None:
            continue
        group.permissions.remove(*permissions.filter(codename__in=codenames))
        if not group.permissions.exists() and not group.user_set.exists():
            group.delete()


def _cumulated(rights: Rights) -> Iterator[tuple[str, list[str]]]:
    codenames: list[str] = []
    for name in ORDER:
        codenames = [*codenames, *rights.get(name, ())]
        yield name, codenames


def _ensure_permissions(apps: Any, app: str, using: str) -> None:
    """Django makes them only after all migrations."""
    config = apps.get_app_config(app)
    before = getattr(config, "models_module", None)
    config.models_module = before or True
    try:
        create_permissions(config, apps=apps, using=using, verbosity=0)
    finally:
        config.models_module = before
