"""What operators did says whom it is about, and is searched by index. Pausing has a permission of its own."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
from django.db import migrations, models

SOURCES = [("admin", "admin"), ("command", "command"), ("code", "the application")]

# What was recorded before names one tenant in its filter, or does not say whom it was about.
FORWARDS = """
ALTER TABLE outbox_operator_actions DISABLE TRIGGER outbox_operator_actions_stay;
UPDATE outbox_operator_actions SET tenants = ARRAY[filter ->> 'tenant'] WHERE filter ->> 'tenant' <> '';
ALTER TABLE outbox_operator_actions ENABLE TRIGGER outbox_operator_actions_stay;
"""


class Migration(migrations.Migration):
    dependencies = [("outbox", "0010_minutes")]

    operations = [
        migrations.AlterModelOptions(
            name="tenantpolicy",
            options={
                "permissions": (("pause_tenantpolicy", "Can pause and resume tenants"),),
                "verbose_name_plural": "tenant policies",
            },
        ),
        migrations.AlterField(
            model_name="operatoraction", name="source", field=models.CharField(choices=SOURCES, max_length=7)
        ),
        migrations.AlterField(
            model_name="outboxjob", name="source", field=models.CharField(choices=SOURCES, max_length=7)
        ),
        migrations.AddField(
            model_name="operatoraction",
            name="tenants",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(db_collation="C", max_length=64),
                blank=True,
                db_default=[],
                default=list,
                help_text="Whom it is about; * is everyone.",
                size=None,
            ),
        ),
        migrations.RunSQL(FORWARDS, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="operatoraction",
            index=django.contrib.postgres.indexes.BTreeIndex(fields=["actor", "-id"], name="ix_outbox_action_actor"),
        ),
        migrations.AddIndex(
            model_name="operatoraction",
            index=django.contrib.postgres.indexes.BTreeIndex(fields=["verb", "-id"], name="ix_outbox_action_verb"),
        ),
        migrations.AddIndex(
            model_name="operatoraction",
            index=django.contrib.postgres.indexes.BTreeIndex(fields=["at"], name="ix_outbox_action_at"),
        ),
        migrations.AddIndex(
            model_name="operatoraction",
            index=django.contrib.postgres.indexes.GinIndex(fields=["tenants"], name="ix_outbox_action_tenants"),
        ),
        migrations.AddIndex(
            model_name="operatoraction",
            index=django.contrib.postgres.indexes.GinIndex(
                django.contrib.postgres.search.SearchVector("reason", config="simple"), name="ix_outbox_action_reason"
            ),
        ),
    ]
