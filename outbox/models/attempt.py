from __future__ import annotations

from django.db import models

from outbox.models.event import OutboxEvent
from outbox.models.functions import ClockTimestamp


class OutboxAttempt(models.Model):
    """A failed attempt to publish an event. A success writes none."""

    id = models.BigAutoField(primary_key=True)
    event = models.ForeignKey(OutboxEvent, on_delete=models.CASCADE, related_name="failed_attempts")
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    relay_id = models.UUIDField()
    error_class = models.CharField(max_length=64)
    code = models.IntegerField(help_text="librdkafka's error code.")
    message = models.TextField()

    class Meta:
        db_table = "outbox_attempts"
        ordering = ("at", "id")

    def __str__(self) -> str:
        return f"event {self.event_id}: {self.error_class}"
