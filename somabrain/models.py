"""The data of the service: what its demo does business with, and the memory's writes that wait."""

from __future__ import annotations

from django.db import models
from django.db.models import Exists, OuterRef

from outbox.models import EventStatus, OutboxEvent


class WebhookDelivery(models.Model):
    """A webhook that was received, committed in one transaction with the event that tells of it."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.CharField(max_length=64)
    kind = models.CharField(max_length=249, help_text="What happened, and the topic that tells of it.")
    delivery_key = models.CharField(max_length=255, unique=True)
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "somabrain_webhook_deliveries"
        verbose_name_plural = "webhook deliveries"

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.kind} {self.delivery_key}"


class QueuedWriteQuerySet(models.QuerySet["QueuedWrite"]):
    def waiting(self) -> QueuedWriteQuerySet:
        """To be applied: neither refused by the memory nor discarded in the outbox."""
        discarded = OutboxEvent.objects.filter(pk=OuterRef("event_id"), status=EventStatus.DISCARDED)
        return self.filter(~Exists(discarded), rejected_at=None)

    def of_tenant(self, tenant_id: str) -> QueuedWriteQuerySet:
        return self.filter(tenant_id=tenant_id)


class QueuedWrite(models.Model):
    """A write to the memory that went to the outbox. It has a row until it, or a newer one of its key, is applied."""

    event_id = models.BigIntegerField(primary_key=True, help_text="The event that carries it.")
    tenant_id = models.CharField(max_length=64, db_collation="C")
    namespace = models.CharField(max_length=64, db_collation="C")
    key = models.CharField(max_length=190, db_collation="C")
    version = models.BigIntegerField(help_text="Microseconds since 1970; of two writes of a key the higher is newer.")
    queued_at = models.DateTimeField(auto_now_add=True)
    rejected_at = models.DateTimeField(
        null=True, blank=True, help_text="When the memory refused it for good; empty: it waits."
    )
    reason = models.CharField(max_length=255, blank=True, default="", db_default="", help_text="Why it was refused.")

    objects = QueuedWriteQuerySet.as_manager()

    class Meta:
        db_table = "somabrain_queued_writes"
        indexes = (
            models.Index(fields=("tenant_id", "namespace", "key", "version"), name="ix_somabrain_queued_by_key"),
        )

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.namespace} {self.key} {self.version}"
