"""Rows that tests have left in the tables of the apps."""

from __future__ import annotations

import psycopg
from django.apps import apps
from django.db import connection
from psycopg import sql

from tests.support import database

_APPS = ("circuits", "outbox")


def remove() -> list[str]:
    """The tables that had any; all of them are empty now. Without a test database there are none."""
    if not str(connection.settings_dict["NAME"]).startswith("test_"):
        return []
    with psycopg.connect(database.url(), autocommit=True) as session:
        found = [table for table in _tables() if _has_rows(session, table)]
        if found:
            session.execute("SET outbox.may_truncate_operator_actions = 'on'")
            session.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(",").join(map(sql.Identifier, found))))
    return found


def _tables() -> list[str]:
    models = (model for name in _APPS for model in apps.get_app_config(name).get_models())
    return sorted({model._meta.db_table for model in models if model._meta.managed})


def _has_rows(session: psycopg.Connection, table: str) -> bool:
    return session.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(table))).fetchone() is not None
