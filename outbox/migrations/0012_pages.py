"""Pages of the admin that are no table's: nothing changes in the database."""

from django.db import migrations

OPTIONS = {"proxy": True, "default_permissions": (), "indexes": [], "constraints": []}


class Migration(migrations.Migration):
    dependencies = [("outbox", "0011_whom_actions_are_about")]

    operations = [
        migrations.CreateModel(
            name="Overview",
            fields=[],
            options={**OPTIONS, "verbose_name": "overview", "verbose_name_plural": "overview"},
            bases=("outbox.backlogcount",),
        ),
        migrations.CreateModel(name="Tenant", fields=[], options=OPTIONS, bases=("outbox.tenantpolicy",)),
    ]
