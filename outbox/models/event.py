"""The events: committed with business data, published by relays."""

from __future__ import annotations

from typing import Self

from django.contrib.postgres.indexes import BTreeIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast

from outbox.models.functions import ClockTimestamp
from outbox.models.names import (
    DEFAULT_TENANT,
    KEY_MAX_LENGTH,
    TENANT_MAX_LENGTH,
    TENANT_PATTERN,
    TOPIC_MAX_LENGTH,
    TOPIC_PATTERN,
)


class EventStatus(models.TextChoices):
    PENDING = "pending", "pending"
    SCHEDULED = "scheduled", "scheduled"
    SENT = "sent", "sent"
    FAILED = "failed", "failed"
    DISCARDED = "discarded", "discarded"


class EventQuerySet(models.QuerySet["OutboxEvent"]):
    def pending(self) -> Self:
        """Due and not yet acknowledged."""
        return self.filter(status=EventStatus.PENDING)

    def failed(self) -> Self:
        """Dead letters."""
        return self.filter(status=EventStatus.FAILED)

    def of_tenant(self, tenant_id: str) -> Self:
        return self.filter(tenant_id=tenant_id)

    def oldest_first(self) -> Self:
        """The order in which a tenant's events are published; reads the composite index in its own order."""
        return self.order_by("created_at", "id")


class OctetLength(models.Func):
    function = "octet_length"
    output_field = models.IntegerField()


class OutboxEvent(models.Model):
    """One event. A missing tenant is `"default"`, never NULL, which would switch the unique constraint off."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.CharField(
        max_length=TENANT_MAX_LENGTH, db_collation="C", default=DEFAULT_TENANT, db_default=DEFAULT_TENANT
    )
    topic = models.CharField(max_length=TOPIC_MAX_LENGTH, db_collation="C")
    partition_key = models.CharField(
        max_length=KEY_MAX_LENGTH,
        db_collation="C",
        blank=True,
        default="",
        db_default="",
        help_text="Events of a tenant with the same key are published in order; empty: in no order.",
    )
    dedupe_key = models.CharField(max_length=KEY_MAX_LENGTH, db_collation="C")
    payload = models.JSONField()
    payload_bytes = models.GeneratedField(
        expression=OctetLength(Cast("payload", models.TextField())),
        output_field=models.IntegerField(),
        db_persist=True,
        help_text="Size of the payload as it is sent.",
    )
    headers = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()), blank=True)
    status = models.CharField(
        max_length=9, choices=EventStatus, default=EventStatus.PENDING, db_default=EventStatus.PENDING
    )
    attempts = models.IntegerField(default=0, db_default=0, help_text="Failed attempts so far.")
    last_error = models.TextField(blank=True, default="", db_default="")
    error_class = models.CharField(max_length=64, blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    available_at = models.DateTimeField(null=True, blank=True, help_text="Not published before; scheduled only.")
    sent_at = models.DateTimeField(null=True, blank=True)
    discarded_at = models.DateTimeField(null=True, blank=True, help_text="When an operator gave it up.")
    kafka_partition = models.IntegerField(null=True, blank=True)
    kafka_offset = models.BigIntegerField(null=True, blank=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        db_table = "outbox_events"
        constraints = (
            models.UniqueConstraint(fields=["tenant_id", "dedupe_key"], name="uq_outbox_tenant_dedupe"),
            models.CheckConstraint(condition=Q(status__in=EventStatus.values), name="ck_outbox_status"),
            models.CheckConstraint(condition=Q(tenant_id__regex=TENANT_PATTERN), name="ck_outbox_tenant"),
            models.CheckConstraint(condition=Q(topic__regex=TOPIC_PATTERN), name="ck_outbox_topic"),
            models.CheckConstraint(condition=Q(attempts__gte=0), name="ck_outbox_attempts"),
            models.CheckConstraint(
                condition=~Q(status=EventStatus.SCHEDULED) | Q(available_at__isnull=False),
                name="ck_outbox_scheduled_has_time",
            ),
        )
        # Only the first is touched by pending -> sent; the partial ones cost the drain nothing.
        indexes = (
            BTreeIndex(fields=["status", "tenant_id", "created_at"], name="ix_outbox_status_tenant_created"),
            BTreeIndex(fields=["available_at"], name="ix_outbox_due", condition=Q(status=EventStatus.SCHEDULED)),
            BTreeIndex(
                fields=["tenant_id", "partition_key"],
                name="ix_outbox_blocked_key",
                condition=Q(status=EventStatus.SCHEDULED, attempts__gt=0),
            ),
            BTreeIndex(
                fields=["tenant_id", "partition_key"],
                name="ix_outbox_dead_key",
                condition=Q(status=EventStatus.FAILED),
            ),
            BTreeIndex(
                fields=["error_class", "tenant_id", "created_at"],
                name="ix_outbox_dead_letter_class",
                condition=Q(status=EventStatus.FAILED),
            ),
            BTreeIndex(
                fields=["topic", "tenant_id", "created_at"],
                name="ix_outbox_dead_letter_topic",
                condition=Q(status=EventStatus.FAILED),
            ),
        )
        permissions = (
            ("replay_outboxevent", "Can have outbox events published again"),
            ("discard_outboxevent", "Can discard outbox events"),
            ("requeue_outboxevent", "Can make retries of outbox events due at once"),
            ("reveal_outboxevent", "Can see what is redacted of outbox events"),
        )

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.topic} #{self.pk} ({self.status})"
