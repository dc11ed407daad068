"""Where an app's tables are: in the database that its setting names, but for what belongs to users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import Model

WITH_USERS = "with_users"
"""Hint of a migration's step that is about users and their groups, wherever the app's own tables are."""


class AppRouter(ABC):
    """For `DATABASE_ROUTERS`. Says nothing about other apps."""

    app: ClassVar[str]
    with_users: ClassVar[frozenset[str]] = frozenset()
    """Models that stand where users do, since they refer to them."""

    @abstractmethod
    def database(self) -> str:
        """The alias of the app's tables."""

    def db_for_read(self, model: type[Model], *, instance: Model | None = None, **hints: Any) -> str | None:
        """A row stays with the database it came from, also if that is another one."""
        if model._meta.app_label != self.app or (instance is not None and instance._state.db):
            return None
        return users_database() if model._meta.model_name in self.with_users else self.database()

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, *, model_name: str | None = None, **hints: Any) -> bool | None:
        if app_label != self.app:
            return None
        beside_users = model_name in self.with_users or bool(hints.get(WITH_USERS))
        return db == (users_database() if beside_users else self.database())


def users_database() -> str:
    """The alias of the users' table."""
    return router.db_for_write(get_user_model())
