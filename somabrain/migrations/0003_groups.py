"""The groups of staff may look at what the service received, and at writes that wait for the memory."""

from typing import Any

from django.db import migrations

from circuits.console import groups

RIGHTS = {groups.VIEWER: ("view_webhookdelivery", "view_queuedwrite")}


def forwards(apps: Any, schema_editor: Any) -> None:
    groups.grant(apps, app="somabrain", rights=RIGHTS, using=schema_editor.connection.alias)


def backwards(apps: Any, schema_editor: Any) -> None:
    groups.revoke(apps, app="somabrain", rights=RIGHTS, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [("somabrain", "0002_queued_writes"), ("circuits", "0006_groups")]
    operations = [migrations.RunPython(forwards, backwards)]
