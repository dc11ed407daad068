"""What happened minute by minute, for charts."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("outbox", "0009_jobs"),
    ]

    operations = [
        migrations.CreateModel(
            name="MinuteCount",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "step", "minute", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("tenant_id", models.CharField(db_collation="C", max_length=64)),
                (
                    "step",
                    models.SmallIntegerField(db_default=1, default=1, help_text="How many minutes it is: 1 or 15."),
                ),
                ("minute", models.DateTimeField(help_text="When it began.")),
                (
                    "sent",
                    models.BigIntegerField(db_default=0, default=0, help_text="Events acknowledged by the broker."),
                ),
                (
                    "failed",
                    models.BigIntegerField(db_default=0, default=0, help_text="Events that became dead letters."),
                ),
                (
                    "failed_attempts",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Attempts that failed, those that made dead letters among them.",
                    ),
                ),
                (
                    "discarded",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Pending and scheduled events that operators gave up; dead letters are in failed.",
                    ),
                ),
                (
                    "replayed",
                    models.BigIntegerField(
                        db_default=0, default=0, help_text="Events that operators made pending once more."
                    ),
                ),
                (
                    "waiting",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Pending and scheduled events at the minute's last count; empty: not counted.",
                        null=True,
                    ),
                ),
                (
                    "latency",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        blank=True,
                        default=list,
                        help_text="Events sent, by the time from creation to acknowledgement: see outbox.latency.",
                        size=None,
                    ),
                ),
            ],
            options={
                "db_table": "outbox_minutes",
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["step", "minute"], name="ix_outbox_minute")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("tenant_id__regex", "^[A-Za-z0-9][A-Za-z0-9._-]*$"),
                            ("tenant_id__in", ["*", "_other"]),
                            _connector="OR",
                        ),
                        name="ck_outbox_minute_tenant",
                    ),
                    models.CheckConstraint(condition=models.Q(("step__in", (1, 15))), name="ck_outbox_minute_step"),
                ],
            },
        ),
        # A minute's rows are written a dozen times, then read, then deleted: in place, and cleaned up before they grow.
        migrations.RunSQL(
            "ALTER TABLE outbox_minutes SET (fillfactor = 60,"
            " autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000)",
            "ALTER TABLE outbox_minutes RESET"
            " (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)",
        ),
    ]
