"""Groups of staff: Viewer, Operator and Administrator, with the rights about circuits."""

from typing import Any

from django.db import migrations

from circuits.console import groups
from circuits.placement import WITH_USERS

RIGHTS = {
    groups.VIEWER: ("view_tenantcircuit", "view_circuittransition"),
    groups.OPERATOR: ("steer_tenantcircuit",),
    groups.ADMINISTRATOR: (
        "add_tenantcircuit",
        "change_tenantcircuit",
        "view_stafftenantscope",
        "add_stafftenantscope",
        "change_stafftenantscope",
        "delete_stafftenantscope",
    ),
}


def forwards(apps: Any, schema_editor: Any) -> None:
    groups.grant(apps, app="circuits", rights=RIGHTS, using=schema_editor.connection.alias)


def backwards(apps: Any, schema_editor: Any) -> None:
    groups.revoke(apps, app="circuits", rights=RIGHTS, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("circuits", "0005_what_staff_decided"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(forwards, backwards, hints={WITH_USERS: True})]
