"""What happened, by minute and quarter of an hour: what charts are drawn from, so that nobody reads all events."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from circuits.names import OTHER_TENANTS
from outbox.models.names import EVERY_TENANT, TENANT_MAX_LENGTH, TENANT_PATTERN

STEPS = (1, 15)


class MinuteCount(models.Model):
    """One minute of one tenant, or one quarter of an hour, for the charts of a day.

    `*` is all tenants together, `_other` those for whom a writer had no row left. No row: nothing happened.
    """

    pk = models.CompositePrimaryKey("tenant_id", "step", "minute")
    tenant_id = models.CharField(max_length=TENANT_MAX_LENGTH, db_collation="C")
    step = models.SmallIntegerField(default=1, db_default=1, help_text="How many minutes it is: 1 or 15.")
    minute = models.DateTimeField(help_text="When it began.")
    sent = models.BigIntegerField(default=0, db_default=0, help_text="Events acknowledged by the broker.")
    failed = models.BigIntegerField(default=0, db_default=0, help_text="Events that became dead letters.")
    failed_attempts = models.BigIntegerField(
        default=0, db_default=0, help_text="Attempts that failed, those that made dead letters among them."
    )
    discarded = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Pending and scheduled events that operators gave up; dead letters are in failed.",
    )
    replayed = models.BigIntegerField(
        default=0, db_default=0, help_text="Events that operators made pending once more."
    )
    waiting = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="Pending and scheduled events at the minute's last count; empty: not counted.",
    )
    latency = ArrayField(
        models.BigIntegerField(),
        default=list,
        blank=True,
        help_text="Events sent, by the time from creation to acknowledgement: see outbox.latency.",
    )

    class Meta:
        db_table = "outbox_minutes"
        # Nobody adds, changes or deletes one by hand.
        default_permissions = ("view",)
        indexes = (models.Index(fields=["step", "minute"], name="ix_outbox_minute"),)
        constraints = (
            models.CheckConstraint(
                condition=Q(tenant_id__regex=TENANT_PATTERN) | Q(tenant_id__in=[EVERY_TENANT, OTHER_TENANTS]),
                name="ck_outbox_minute_tenant",
            ),
            models.CheckConstraint(condition=Q(step__in=STEPS), name="ck_outbox_minute_step"),
        )

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.minute:%Y-%m-%d %H:%M}, {self.step} min"
