"""What operators did: written once, changed never."""

from __future__ import annotations

from collections.abc import Collection
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BTreeIndex, GinIndex
from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db import models

from outbox.models.functions import ClockTimestamp
from outbox.models.names import EVERY_TENANT, TENANT_MAX_LENGTH

# Words as they are written: reasons come in every language.
_WORDS = "simple"


class ActionSource(models.TextChoices):
    ADMIN = "admin", "admin"
    COMMAND = "command", "command"
    CODE = "code", "the application"


class ActionQuerySet(models.QuerySet["OperatorAction"]):
    def of_tenant(self, tenant_id: str) -> Self:
        """Those about the tenant, by name or among others; not those about everyone."""
        return self.filter(tenants__contains=[tenant_id])

    def within(self, tenants: Collection[str] | None) -> Self:
        """Those that are about none but these tenants; None: all."""
        if tenants is None:
            return self
        # Alone, "contained" would also be true of no tenant at all, and no index would answer it.
        names = sorted(tenants)
        return self.filter(tenants__overlap=names, tenants__contained_by=names)

    def saying(self, words: str) -> Self:
        """Those whose reason has all these words, in any order."""
        query = SearchQuery(words, config=_WORDS)
        return self.alias(words=SearchVector("reason", config=_WORDS)).filter(words=query)


class OperatorAction(models.Model):
    """One change by an operator, committed together with it. The database refuses to change or delete a row."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    actor = models.CharField(max_length=255, help_text="A user's name; for commands the account and its host.")
    source = models.CharField(max_length=7, choices=ActionSource)
    verb = models.CharField(max_length=32, help_text="What was done, such as replay, discard or pause.")
    tenants = ArrayField(
        models.CharField(max_length=TENANT_MAX_LENGTH, db_collation="C"),
        default=list,
        db_default=[],
        blank=True,
        help_text=f"Whom it is about; {EVERY_TENANT} is everyone.",
    )
    filter = models.JSONField(default=dict, blank=True, help_text="What was asked for.")
    counts = models.JSONField(default=dict, blank=True, help_text="How many events it concerned.")
    before = models.JSONField(null=True, blank=True, help_text="What was so; of events their ids, by status.")
    after = models.JSONField(null=True, blank=True, help_text="What became of it.")
    reason = models.TextField(blank=True, default="")
    address = models.GenericIPAddressField(null=True, blank=True, help_text="From where; empty for commands.")

    objects = ActionQuerySet.as_manager()

    class Meta:
        db_table = "outbox_operator_actions"
        # Nobody adds, changes or deletes one by hand, so there is no permission for it.
        default_permissions = ("view",)
        indexes = (
            BTreeIndex(fields=["actor", "-id"], name="ix_outbox_action_actor"),
            BTreeIndex(fields=["verb", "-id"], name="ix_outbox_action_verb"),
            BTreeIndex(fields=["at"], name="ix_outbox_action_at"),
            GinIndex(fields=["tenants"], name="ix_outbox_action_tenants"),
            GinIndex(SearchVector("reason", config=_WORDS), name="ix_outbox_action_reason"),
        )

    def __str__(self) -> str:
        return f"{self.verb} by {self.actor}"
