"""What waits per tenant, as counted by one process for all."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("outbox", "0003_policy_wakes_relays"),
    ]

    operations = [
        migrations.CreateModel(
            name="BacklogCount",
            fields=[
                ("id", models.SmallIntegerField(db_default=1, default=1, primary_key=True, serialize=False)),
                (
                    "taken_at",
                    models.DateTimeField(blank=True, help_text="When the count began; empty: never.", null=True),
                ),
                (
                    "seconds",
                    models.FloatField(db_default=0, default=0, help_text="How long the database was busy with it."),
                ),
                (
                    "tenants",
                    models.BigIntegerField(db_default=0, default=0, help_text="Tenants with events that are due."),
                ),
                ("pending", models.BigIntegerField(db_default=0, default=0)),
                ("oldest_pending_at", models.DateTimeField(blank=True, null=True)),
                ("scheduled", models.BigIntegerField(db_default=0, default=0)),
                ("failed", models.BigIntegerField(db_default=0, default=0)),
                ("next_at", models.DateTimeField(help_text="Nobody begins a count before.")),
                (
                    "token",
                    models.BigIntegerField(
                        db_default=0, default=0, help_text="Fencing token, one more for each count."
                    ),
                ),
            ],
            options={
                "db_table": "outbox_backlog_counts",
            },
        ),
        migrations.CreateModel(
            name="TenantBacklog",
            fields=[
                ("tenant_id", models.CharField(db_collation="C", max_length=64, primary_key=True, serialize=False)),
                (
                    "pending",
                    models.BigIntegerField(db_default=0, default=0, help_text="Events due and not acknowledged."),
                ),
                (
                    "oldest_pending_at",
                    models.DateTimeField(
                        blank=True, help_text="When the oldest of them was created; empty: there is none.", null=True
                    ),
                ),
                (
                    "scheduled",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Events that wait for their time: delayed, or for another attempt.",
                    ),
                ),
                ("failed", models.BigIntegerField(db_default=0, default=0, help_text="Dead letters.")),
                (
                    "taken_at",
                    models.DateTimeField(
                        help_text="When these figures were first counted. They still held at the last count of all."
                    ),
                ),
            ],
            options={
                "db_table": "outbox_tenant_backlogs",
            },
        ),
        migrations.AlterField(
            model_name="tenantpolicy",
            name="backlog_limit",
            field=models.BigIntegerField(
                blank=True,
                help_text="Pending events at which no more are accepted; empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AlterField(
            model_name="tenantpolicy",
            name="retention_days",
            field=models.IntegerField(
                blank=True,
                help_text="Days that sent and discarded events are kept; empty: OUTBOX_RETENTION_DAYS.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddIndex(
            model_name="tenantpolicy",
            index=models.Index(
                condition=models.Q(("backlog_limit__isnull", False)),
                fields=["tenant_id", "backlog_limit"],
                name="ix_outbox_backlog_limit",
            ),
        ),
        migrations.AddConstraint(
            model_name="backlogcount",
            constraint=models.CheckConstraint(condition=models.Q(("id", 1)), name="ck_outbox_one_backlog_count"),
        ),
        # Rewritten every few seconds: in place, and cleaned up before they grow.
        migrations.RunSQL(
            "ALTER TABLE outbox_tenant_backlogs SET"
            " (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)",
            "ALTER TABLE outbox_tenant_backlogs RESET"
            " (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)",
        ),
    ]
