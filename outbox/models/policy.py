from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from outbox.models.names import EVERY_TENANT, TENANT_MAX_LENGTH, TENANT_PATTERN


class TenantPolicy(models.Model):
    """What staff decide about a tenant. No row: the defaults. The row of `*` pauses everyone."""

    tenant_id = models.CharField(max_length=TENANT_MAX_LENGTH, db_collation="C", primary_key=True)
    weight = models.FloatField(
        default=1,
        db_default=1,
        help_text="Share of the relays relative to others.",
        validators=[MinValueValidator(0.001)],
    )
    rate = models.FloatField(
        null=True,
        blank=True,
        help_text="Most events per second; empty: no limit.",
        validators=[MinValueValidator(0.001)],
    )
    batch_quota = models.IntegerField(
        null=True,
        blank=True,
        help_text="Most events of the tenant in one round; empty: no limit.",
        validators=[MinValueValidator(1)],
    )
    backlog_limit = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="Pending events at which no more are accepted; empty: no limit.",
        validators=[MinValueValidator(1)],
    )
    paused = models.BooleanField(default=False, db_default=False)
    paused_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    paused_reason = models.TextField(blank=True, default="", db_default="")
    paused_until = models.DateTimeField(null=True, blank=True, help_text="Resumes by itself then; empty: does not.")
    retention_days = models.IntegerField(
        null=True,
        blank=True,
        help_text="Days that sent and discarded events are kept; empty: OUTBOX_RETENTION_DAYS.",
        validators=[MinValueValidator(1)],
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "outbox_tenant_policies"
        verbose_name_plural = "tenant policies"
        permissions = (("pause_tenantpolicy", "Can pause and resume tenants"),)
        # Every process that enqueues asks for the limits again and again.
        indexes = (
            models.Index(
                fields=["tenant_id", "backlog_limit"],
                name="ix_outbox_backlog_limit",
                condition=Q(backlog_limit__isnull=False),
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(tenant_id__regex=TENANT_PATTERN) | Q(tenant_id=EVERY_TENANT), name="ck_outbox_policy_tenant"
            ),
            models.CheckConstraint(condition=Q(weight__gte=0.001, weight__lte=1e6), name="ck_outbox_policy_weight"),
            models.CheckConstraint(
                condition=Q(rate__isnull=True) | Q(rate__gte=0.001, rate__lte=1e9), name="ck_outbox_policy_rate"
            ),
            models.CheckConstraint(
                condition=Q(batch_quota__isnull=True) | Q(batch_quota__gte=1), name="ck_outbox_policy_quota"
            ),
            models.CheckConstraint(
                condition=Q(backlog_limit__isnull=True) | Q(backlog_limit__gte=1), name="ck_outbox_policy_backlog"
            ),
            models.CheckConstraint(
                condition=Q(retention_days__isnull=True) | Q(retention_days__gte=1), name="ck_outbox_policy_retention"
            ),
        )

    def __str__(self) -> str:
        return self.tenant_id
