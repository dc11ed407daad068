from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from circuits.console.lists import BoundedAdmin
from outbox.admin.operator import operator
from outbox.admin.pausing import PausePages
from outbox.models import TenantPolicy
from outbox.models.names import EVERY_TENANT, TENANT_PATTERN
from outbox.operations import audit
from outbox.operations.audit import MOST_REASON

if TYPE_CHECKING:
    PolicyModelForm = forms.ModelForm[TenantPolicy]
else:
    PolicyModelForm = forms.ModelForm

_is_tenant = re.compile(TENANT_PATTERN).fullmatch
# What the row of everyone has no say in: each tenant's own row decides it.
_OF_ONE_TENANT = ("rate", "batch_quota", "backlog_limit", "retention_days")
_COLUMNS = (
    "weight",
    "rate",
    "batch_quota",
    "backlog_limit",
    "retention_days",
    "paused",
    "paused_by",
    "paused_reason",
    "paused_until",
)


class PolicyForm(PolicyModelForm):
    """Finds what the database would refuse, and what would have no effect."""

    reason = forms.CharField(
        required=False, max_length=MOST_REASON, help_text="Why the policy changes; recorded with who did it."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["weight"].validators.append(MaxValueValidator(1e6))
        self.fields["rate"].validators.append(MaxValueValidator(1e9))
        # The admin's widget has two inputs, and words beside them that label neither.
        for part, said in zip(self.fields["paused_until"].widget.widgets, ("date", "time"), strict=True):
            part.attrs["aria-label"] = f"Paused until: {said}"
        if "tenant_id" in self.fields:
            self.fields["tenant_id"].help_text = f"A tenant, or {EVERY_TENANT} to pause everyone."

    def clean_tenant_id(self) -> str:
        tenant_id: str = self.cleaned_data["tenant_id"]
        if tenant_id != EVERY_TENANT and not _is_tenant(tenant_id):
            raise ValidationError(
                f"A tenant is named by A-Z a-z 0-9 . _ - and begins with a letter or digit; {EVERY_TENANT} is everyone."
            )
        return tenant_id

    def clean_paused_until(self) -> Any:
        until = self.cleaned_data["paused_until"]
        if until is not None and until <= timezone.now() and "paused_until" in self.changed_data:
            raise ValidationError("Must lie in the future, else the pause is over already.")
        return until

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if values.get("paused_until") and not values.get("paused"):
            self.add_error("paused_until", "Only a pause ends: tick paused as well.")
        if values.get("paused") and "paused" in self.changed_data and not values.get("paused_reason", "").strip():
            self.add_error("paused_reason", "Say why, for whoever wonders.")
        if values.get("tenant_id", self.instance.tenant_id) == EVERY_TENANT:
            self._refuse_what_is_for_one(values)
        return values

    def _refuse_what_is_for_one(self, values: dict[str, Any]) -> None:
        for name in _OF_ONE_TENANT:
            if values.get(name) is not None:
                self.add_error(name, f"The row of {EVERY_TENANT} can only pause: leave this empty.")
        if values.get("weight", 1) != 1:
            self.add_error("weight", f"The row of {EVERY_TENANT} can only pause: leave this at 1.")


@admin.register(TenantPolicy)
class PolicyAdmin(PausePages, BoundedAdmin):
    """What staff decide about a tenant; relays follow within a second. Every change is recorded."""

    form = PolicyForm
    list_display = (
        "tenant_id",
        "weight",
        "rate",
        "batch_quota",
        "backlog_limit",
        "paused",
        "paused_by",
        "paused_until",
        "retention_days",
        "updated_at",
    )
    list_filter = ("paused",)
    ordering = ("tenant_id",)
    search_fields = ("tenant_id__startswith",)
    search_help_text = "The beginning of a tenant's name."
    fields = (
        "tenant_id",
        "weight",
        "rate",
        "batch_quota",
        "backlog_limit",
        "retention_days",
        "paused",
        "paused_by",
        "paused_reason",
        "paused_until",
        "updated_at",
        "reason",
    )

    def get_readonly_fields(self, request: HttpRequest, obj: TenantPolicy | None = None) -> tuple[str, ...]:
        # The tenant is the primary key: changing it would leave the old row and make another.
        return ("paused_by", "updated_at", *(() if obj is None else ("tenant_id",)))

    def save_model(self, request: HttpRequest, obj: TenantPolicy, form: Any, change: bool) -> None:
        """Who pauses is recorded, and nothing remains of a pause that is over."""
        if not obj.paused:
            obj.paused_by, obj.paused_reason, obj.paused_until = "", "", None
        elif "paused" in form.changed_data:
            obj.paused_by = request.user.get_username()
        using = self.get_queryset(request).db
        with transaction.atomic(using=using):
            before = TenantPolicy.objects.using(using).select_for_update().filter(pk=obj.pk).first() if change else None
            super().save_model(request, obj, form, change)
            self._record(request, "set_policy", before, obj, form.cleaned_data.get("reason") or "")

    def delete_model(self, request: HttpRequest, obj: TenantPolicy) -> None:
        with transaction.atomic(using=self.get_queryset(request).db):
            self._record(request, "delete_policy", obj, None, "")
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TenantPolicy]) -> None:
        for policy in queryset:
            self.delete_model(request, policy)

    def _record(
        self, request: HttpRequest, verb: str, before: TenantPolicy | None, after: TenantPolicy | None, reason: str
    ) -> None:
        """Only what has changed, and all of a policy that comes or goes."""
        old, new = (None if row is None else audit.values_of(row, _COLUMNS) for row in (before, after))
        if old is not None and new is not None:
            changed = [name for name in _COLUMNS if old[name] != new[name]]
            old, new = ({name: values[name] for name in changed} for values in (old, new))
        policy = before or after
        audit.record(
            by=operator(request),
            verb=verb,
            using=self.get_queryset(request).db,
            reason=reason.strip(),
            filter={"tenant": policy.tenant_id if policy else ""},
            before=old,
            after=new,
        )
