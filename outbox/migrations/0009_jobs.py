"""Changes to many events in the background, and the right to make retries due."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
from django.db import migrations, models

import outbox.models.functions


class Migration(migrations.Migration):
    dependencies = [
        ("outbox", "0008_discarded_at"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="outboxevent",
            options={
                "permissions": (
                    ("replay_outboxevent", "Can have outbox events published again"),
                    ("discard_outboxevent", "Can discard outbox events"),
                    ("requeue_outboxevent", "Can make retries of outbox events due at once"),
                )
            },
        ),
        migrations.CreateModel(
            name="OutboxJob",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "verb",
                    models.CharField(
                        choices=[("replay", "replay"), ("discard", "discard"), ("requeue", "requeue")], max_length=7
                    ),
                ),
                (
                    "filter",
                    models.JSONField(
                        default=dict, help_text="What was asked for, with the newest event that it touches."
                    ),
                ),
                (
                    "duplicate_sent",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Whether sent events are replayed too, as deliberate duplicates.",
                    ),
                ),
                (
                    "tenants",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        help_text="The tenants that it is limited to; empty: all.",
                        null=True,
                        size=None,
                    ),
                ),
                ("reason", models.TextField()),
                (
                    "requested_by",
                    models.CharField(help_text="A user's name; for commands the account and its host.", max_length=255),
                ),
                ("source", models.CharField(choices=[("admin", "admin"), ("command", "command")], max_length=7)),
                (
                    "address",
                    models.GenericIPAddressField(blank=True, help_text="From where; empty for commands.", null=True),
                ),
                (
                    "rate",
                    models.FloatField(
                        blank=True, help_text="Most events per second; empty: OUTBOX_JOB_RATE.", null=True
                    ),
                ),
                (
                    "preview",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Events that matched when it was asked for; empty: not counted.",
                        null=True,
                    ),
                ),
                (
                    "preview_more",
                    models.BooleanField(
                        db_default=False, default=False, help_text="Whether there were more than were counted."
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "queued"),
                            ("running", "running"),
                            ("paused", "paused"),
                            ("cancelled", "cancelled"),
                            ("done", "done"),
                            ("failed", "failed"),
                        ],
                        db_default="queued",
                        default="queued",
                        max_length=9,
                    ),
                ),
                (
                    "place",
                    models.TextField(blank=True, db_default="", default="", help_text="Behind which event it goes on."),
                ),
                ("done", models.BigIntegerField(db_default=0, default=0, help_text="Events changed.")),
                (
                    "skipped",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        help_text="Events left alone, by status; `changing`: somebody else had them locked.",
                    ),
                ),
                ("looked_at", models.BigIntegerField(db_default=0, default=0, help_text="Events looked at.")),
                (
                    "waits_for",
                    models.TextField(blank=True, db_default="", default="", help_text="What it is held up by."),
                ),
                (
                    "failures",
                    models.SmallIntegerField(
                        db_default=0, default=0, help_text="Slices in a row that ended with an error."
                    ),
                ),
                ("error", models.TextField(blank=True, db_default="", default="", help_text="What went wrong last.")),
                (
                    "created_at",
                    models.DateTimeField(db_default=outbox.models.functions.ClockTimestamp(), editable=False),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                (
                    "moved_at",
                    models.DateTimeField(blank=True, help_text="When its last batch was committed.", null=True),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "offered_at",
                    models.DateTimeField(
                        db_default=outbox.models.functions.ClockTimestamp(),
                        help_text="When django-q2 was last given a task for it.",
                    ),
                ),
                (
                    "lease_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="A worker has it until then, unless it renews; empty: none has it.",
                        null=True,
                    ),
                ),
                (
                    "token",
                    models.BigIntegerField(db_default=0, default=0, help_text="Fencing token, one more at each claim."),
                ),
            ],
            options={
                "db_table": "outbox_jobs",
                "default_permissions": ("view",),
                "indexes": [
                    django.contrib.postgres.indexes.BTreeIndex(
                        condition=models.Q(("state__in", ("queued", "running"))),
                        fields=["offered_at"],
                        name="ix_outbox_job_waiting",
                    ),
                    django.contrib.postgres.indexes.BTreeIndex(
                        condition=models.Q(("state__in", ("cancelled", "done", "failed"))),
                        fields=["finished_at"],
                        name="ix_outbox_job_over",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("verb__in", ["replay", "discard", "requeue"])), name="ck_outbox_job_verb"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["queued", "running", "paused", "cancelled", "done", "failed"])
                        ),
                        name="ck_outbox_job_state",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("rate__isnull", True),
                            models.Q(("rate__gte", 0.1), ("rate__lte", 1000000.0)),
                            _connector="OR",
                        ),
                        name="ck_outbox_job_rate",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("finished_at__isnull", False), ("state__in", ("cancelled", "done", "failed"))),
                            models.Q(
                                ("finished_at__isnull", True),
                                models.Q(("state__in", ("cancelled", "done", "failed")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="ck_outbox_job_over",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("lease_until__isnull", True), ("state", "running"), _connector="OR"),
                        name="ck_outbox_job_lease",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("done__gte", 0), ("looked_at__gte", 0)), name="ck_outbox_job_counts"
                    ),
                ],
            },
        ),
    ]
