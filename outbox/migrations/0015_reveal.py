"""Seeing what is redacted has a permission of its own, which Administrators have and may be given to others."""

from typing import Any

from django.db import migrations

from circuits.console import groups
from circuits.placement import WITH_USERS

RIGHTS = {groups.ADMINISTRATOR: ("reveal_outboxevent",)}


def forwards(apps: Any, schema_editor: Any) -> None:
    groups.grant(apps, app="outbox", rights=RIGHTS, using=schema_editor.connection.alias)


def backwards(apps: Any, schema_editor: Any) -> None:
    groups.revoke(apps, app="outbox", rights=RIGHTS, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = (("outbox", "0014_groups"),)
    operations = (
        migrations.AlterModelOptions(
            name="outboxevent",
            options={
                "permissions": (
                    ("replay_outboxevent", "Can have outbox events published again"),
                    ("discard_outboxevent", "Can discard outbox events"),
                    ("requeue_outboxevent", "Can make retries of outbox events due at once"),
                    ("reveal_outboxevent", "Can see what is redacted of outbox events"),
                )
            },
        ),
        migrations.RunPython(forwards, backwards, hints={WITH_USERS: True}),
    )
