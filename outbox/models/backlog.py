"""How much waits, as one process counted it for all who want to know."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL

from outbox import sql
from outbox.models.names import TENANT_MAX_LENGTH


class TenantBacklogQuerySet(models.QuerySet["TenantBacklog"]):
    def with_blocked(self) -> TenantBacklogQuerySet:
        """With `blocked`: pending events that wait behind an open circuit now."""
        return self.annotate(blocked=RawSQL(sql.load("blocked"), (), models.BigIntegerField()))  # noqa: S611  no argument


class TenantBacklog(models.Model):
    """What waits of a tenant. No row: nothing does. Exact when it was counted, seconds ago."""

    tenant_id = models.CharField(max_length=TENANT_MAX_LENGTH, db_collation="C", primary_key=True)
    pending = models.BigIntegerField(default=0, db_default=0, help_text="Events due and not acknowledged.")
    oldest_pending_at = models.DateTimeField(
        null=True, blank=True, help_text="When the oldest of them was created; empty: there is none."
    )
    scheduled = models.BigIntegerField(
        default=0, db_default=0, help_text="Events that wait for their time: delayed, or for another attempt."
    )
    failed = models.BigIntegerField(default=0, db_default=0, help_text="Dead letters.")
    taken_at = models.DateTimeField(
        help_text="When these figures were first counted. They still held at the last count of all."
    )

    objects = TenantBacklogQuerySet.as_manager()

    class Meta:
        db_table = "outbox_tenant_backlogs"

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.pending} pending"


class BacklogCount(models.Model):
    """The last count of all tenants, in one row, and who may make the next: whoever sets `next_at`."""

    id = models.SmallIntegerField(primary_key=True, default=1, db_default=1)
    taken_at = models.DateTimeField(null=True, blank=True, help_text="When the count began; empty: never.")
    seconds = models.FloatField(default=0, db_default=0, help_text="How long the database was busy with it.")
    tenants = models.BigIntegerField(default=0, db_default=0, help_text="Tenants with events that are due.")
    pending = models.BigIntegerField(default=0, db_default=0)
    oldest_pending_at = models.DateTimeField(null=True, blank=True)
    scheduled = models.BigIntegerField(default=0, db_default=0)
    failed = models.BigIntegerField(default=0, db_default=0)
    next_at = models.DateTimeField(help_text="Nobody begins a count before.")
    token = models.BigIntegerField(default=0, db_default=0, help_text="Fencing token, one more for each count.")

    class Meta:
        db_table = "outbox_backlog_counts"
        constraints = (models.CheckConstraint(condition=Q(id=1), name="ck_outbox_one_backlog_count"),)

    def __str__(self) -> str:
        return f"{self.pending} pending of {self.tenants} tenants"
