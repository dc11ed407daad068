"""Migrations say what the models say. That they run both ways is shown with those of the whole service."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

pytestmark = pytest.mark.django_db


def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", "outbox", check_changes=True, dry_run=True, verbosity=0)


def test_every_migration_can_be_taken_back() -> None:
    migrations = [each for (app, _), each in MigrationLoader(connection).disk_migrations.items() if app == "outbox"]
    assert migrations
    assert all(operation.reversible for each in migrations for operation in each.operations)


def test_the_schema_has_the_names_that_others_rely_on() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'outbox_events'"
            " UNION SELECT conname FROM pg_constraint WHERE conrelid = 'outbox_events'::regclass"
        )
        names = {name for (name,) in cursor.fetchall()}
    assert {"uq_outbox_tenant_dedupe", "ix_outbox_status_tenant_created", "ck_outbox_tenant"} <= names


def test_lanes_have_room_for_updates_in_place_and_events_are_vacuumed_by_number() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, reloptions FROM pg_class WHERE relname IN ('outbox_lanes', 'outbox_events')")
        options = dict(cursor.fetchall())
    assert "fillfactor=50" in options["outbox_lanes"]
    assert "autovacuum_vacuum_threshold=50000" in options["outbox_events"]
