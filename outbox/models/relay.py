from __future__ import annotations

import uuid

from django.db import models

from outbox.models.functions import ClockTimestamp


class OutboxRelay(models.Model):
    """A running relay. Its row goes when it stops, or when another relay finds its session gone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    version = models.CharField(max_length=32)
    started_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    heartbeat_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    lanes = models.IntegerField(default=0, db_default=0, help_text="Lanes held at the last heartbeat.")
    backlogged = models.IntegerField(
        default=0,
        db_default=0,
        help_text="Lanes with a backlog at the last heartbeat; one at least while it ends or finds no broker.",
    )
    rate = models.FloatField(default=0, db_default=0, help_text="Events per second since the heartbeat before.")
    virtual_time = models.FloatField(
        null=True, editable=False, help_text="Where its backlogged lanes stand; empty without any."
    )
    pace = models.FloatField(default=0, db_default=0, editable=False, help_text="Units of virtual time per second.")

    class Meta:
        db_table = "outbox_relays"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
