"""What operators did: written once, changed never."""

from __future__ import annotations

from django.db import models

from outbox.models.functions import ClockTimestamp


class ActionSource(models.TextChoices):
    ADMIN = "admin", "admin"
    COMMAND = "command", "command"


class OperatorAction(models.Model):
    """One change by an operator, committed together with it. The database refuses to change or delete a row."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    actor = models.CharField(max_length=255, help_text="A user's name; for commands the account and its host.")
    source = models.CharField(max_length=7, choices=ActionSource)
    verb = models.CharField(max_length=32, help_text="What was done, such as replay, discard or pause.")
    filter = models.JSONField(default=dict, blank=True, help_text="What was asked for.")
    counts = models.JSONField(default=dict, blank=True, help_text="How many events it concerned.")
    before = models.JSONField(null=True, blank=True, help_text="What was so; of events their ids, by status.")
    after = models.JSONField(null=True, blank=True, help_text="What became of it.")
    reason = models.TextField(blank=True, default="")
    address = models.GenericIPAddressField(null=True, blank=True, help_text="From where; empty for commands.")

    class Meta:
        db_table = "outbox_operator_actions"
        # Nobody adds, changes or deletes one by hand, so there is no permission for it.
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.verb} by {self.actor}"
