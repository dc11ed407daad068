from __future__ import annotations

from django.db import models
from django.db.models import Q

from outbox.models.names import TENANT_MAX_LENGTH, TENANT_PATTERN


class OutboxLane(models.Model):
    """One tenant's order and the lease on it. Written by relays only, so an enqueue never waits for it."""

    tenant_id = models.CharField(max_length=TENANT_MAX_LENGTH, db_collation="C", primary_key=True)
    virtual_time = models.FloatField(default=0, db_default=0, help_text="Service received, divided by weight.")
    has_work = models.BooleanField(
        default=False, db_default=False, help_text="Whether the lane had work left when it was last held."
    )
    owner = models.UUIDField(null=True, blank=True, help_text="The relay that holds the lane.")
    token = models.BigIntegerField(default=0, db_default=0, help_text="Fencing token, one more at each claim.")
    leased_until = models.DateTimeField(null=True, blank=True)
    rate_clock = models.DateTimeField(
        null=True, blank=True, help_text="Up to here the publish rate is used up (generic cell rate algorithm)."
    )
    floor = models.DateTimeField(
        null=True, blank=True, help_text="Nothing pending was created before; empty: not known."
    )

    class Meta:
        db_table = "outbox_lanes"
        constraints = (
            models.CheckConstraint(condition=Q(tenant_id__regex=TENANT_PATTERN), name="ck_outbox_lane_tenant"),
            models.CheckConstraint(
                condition=Q(owner__isnull=True, leased_until__isnull=True)
                | Q(owner__isnull=False, leased_until__isnull=False),
                name="ck_outbox_lane_lease",
            ),
        )

    def __str__(self) -> str:
        return self.tenant_id
