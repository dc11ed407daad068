"""For `DATABASE_ROUTERS`, where the circuits are not in the default database."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from circuits import conf

_APP = "circuits"


class CircuitsRouter:
    """The tables of circuits are in `CIRCUITS_DATABASE` and in no other one; says nothing about other apps.

    So the admin finds them, and `migrate --database` makes them there alone.
    """

    def db_for_read(self, model: type[Model], *, instance: Model | None = None, **hints: Any) -> str | None:
        """A row stays with the database it came from, also if that is another one."""
        if model._meta.app_label != _APP or (instance is not None and instance._state.db):
            return None
        return conf.get().database

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db == conf.get().database if app_label == _APP else None
