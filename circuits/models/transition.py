from __future__ import annotations

from django.db import models

from circuits.events import Why
from circuits.models.functions import ClockTimestamp
from circuits.names import NAME_MAX_LENGTH


class CircuitTransition(models.Model):
    """A move of a circuit. The database refuses to change it, and to delete a decision of staff or one of today."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.CharField(max_length=NAME_MAX_LENGTH, db_collation="C")
    name = models.CharField(max_length=NAME_MAX_LENGTH, db_collation="C")
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    from_state = models.CharField(max_length=16)
    to_state = models.CharField(max_length=16)
    why = models.CharField(
        max_length=32, choices=[(each.value, each.value.replace("_", " ")) for each in Why], help_text="What moved it."
    )
    by = models.CharField(max_length=150, blank=True, default="", db_default="", help_text="Empty: nobody, by itself.")
    reason = models.TextField(blank=True, default="", db_default="", help_text="What staff said.")
    until = models.DateTimeField(null=True, blank=True, help_text="When what staff decided ends by itself.")
    failures = models.IntegerField(default=0, db_default=0, help_text="Failures counted at that moment.")
    calls = models.IntegerField(null=True, blank=True, help_text="Calls in the window, in mode rate.")
    error_code = models.CharField(max_length=64, blank=True, default="", db_default="", help_text="The last failure's.")
    decision = models.CharField(
        max_length=16,
        blank=True,
        default="",
        db_default="",
        help_text="What staff decided, such as force_open; empty: nothing.",
    )
    changes = models.JSONField(
        null=True, blank=True, help_text="Thresholds by name, each as it was and as it became; empty: none changed."
    )
    source = models.CharField(
        max_length=7,
        blank=True,
        default="",
        db_default="",
        help_text="Where staff decided: admin or command; empty: in the application's code, or nobody did.",
    )
    address = models.GenericIPAddressField(null=True, blank=True, help_text="From where, in the admin.")
    epoch = models.BigIntegerField(help_text="The epoch that began.")

    class Meta:
        db_table = "circuits_transitions"
        ordering = ("-id",)
        indexes = (models.Index(fields=("tenant_id", "name", "-id"), name="ix_circuit_history"),)

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.name}: {self.from_state} -> {self.to_state}"
