"""The business data of the service, which so far is what its demo has to do business with."""

from __future__ import annotations

from django.db import models


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
