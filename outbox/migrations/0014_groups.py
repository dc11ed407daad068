"""The groups of staff have their rights about the outbox: Viewers look, Operators act, Administrators set policies."""

from typing import Any

from django.db import migrations

from circuits.console import groups
from circuits.placement import WITH_USERS

RIGHTS = {
    groups.VIEWER: (
        "view_outboxevent",
        "view_outboxattempt",
        "view_outboxlane",
        "view_outboxrelay",
        "view_tenantpolicy",
        "view_tenantbacklog",
        "view_backlogcount",
        "view_outboxjob",
        "view_minutecount",
        "view_operatoraction",
    ),
    groups.OPERATOR: ("replay_outboxevent", "discard_outboxevent", "requeue_outboxevent", "pause_tenantpolicy"),
    groups.ADMINISTRATOR: ("add_tenantpolicy", "change_tenantpolicy", "delete_tenantpolicy"),
}


def forwards(apps: Any, schema_editor: Any) -> None:
    groups.grant(apps, app="outbox", rights=RIGHTS, using=schema_editor.connection.alias)


def backwards(apps: Any, schema_editor: Any) -> None:
    groups.revoke(apps, app="outbox", rights=RIGHTS, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [("outbox", "0013_decisions_about_circuits"), ("circuits", "0006_groups")]
    operations = [migrations.RunPython(forwards, backwards, hints={WITH_USERS: True})]
