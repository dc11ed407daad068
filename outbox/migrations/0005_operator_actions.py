"""What operators do is recorded where nobody can change it, not even by the ORM."""

from django.db import migrations, models

import outbox.models.functions

# An empty table may be truncated: test tools flush that way. Those with rows to flush say so first.
FORWARDS = """
CREATE FUNCTION outbox_operator_actions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' AND (
        NOT EXISTS (SELECT FROM outbox_operator_actions)
        OR coalesce(current_setting('outbox.may_truncate_operator_actions', true), '') = 'on'
    ) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'outbox_operator_actions is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER outbox_operator_actions_stay BEFORE UPDATE OR DELETE ON outbox_operator_actions
FOR EACH ROW EXECUTE FUNCTION outbox_operator_actions_stay();
CREATE TRIGGER outbox_operator_actions_stay_all BEFORE TRUNCATE ON outbox_operator_actions
FOR EACH STATEMENT EXECUTE FUNCTION outbox_operator_actions_stay();
"""
BACKWARDS = """
DROP TRIGGER outbox_operator_actions_stay ON outbox_operator_actions;
DROP TRIGGER outbox_operator_actions_stay_all ON outbox_operator_actions;
DROP FUNCTION outbox_operator_actions_stay();
"""


class Migration(migrations.Migration):
    dependencies = [("outbox", "0004_backlogs")]

    operations = [
        migrations.CreateModel(
            name="OperatorAction",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=outbox.models.functions.ClockTimestamp(), editable=False)),
                (
                    "actor",
                    models.CharField(help_text="A user's name; for commands the account and its host.", max_length=255),
                ),
                ("source", models.CharField(choices=[("admin", "admin"), ("command", "command")], max_length=7)),
                (
                    "verb",
                    models.CharField(help_text="What was done, such as replay, discard or pause.", max_length=32),
                ),
                ("filter", models.JSONField(blank=True, default=dict, help_text="What was asked for.")),
                ("counts", models.JSONField(blank=True, default=dict, help_text="How many events it concerned.")),
                (
                    "before",
                    models.JSONField(blank=True, help_text="What was so; of events their ids, by status.", null=True),
                ),
                ("after", models.JSONField(blank=True, help_text="What became of it.", null=True)),
                ("reason", models.TextField(blank=True, default="")),
                (
                    "address",
                    models.GenericIPAddressField(blank=True, help_text="From where; empty for commands.", null=True),
                ),
            ],
            options={"db_table": "outbox_operator_actions", "default_permissions": ("view",)},
        ),
        migrations.AlterModelOptions(
            name="outboxevent",
            options={
                "permissions": (
                    ("replay_outboxevent", "Can have outbox events published again"),
                    ("discard_outboxevent", "Can discard outbox events"),
                )
            },
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
