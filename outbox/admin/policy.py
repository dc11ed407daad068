from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import MaxValueValidator
from django.db import transaction
from django.http import HttpRequest, HttpResponseRedirect
from django.utils import timezone

from circuits.console.lists import BoundedAdmin
from outbox.admin.decisions import ReasonForm
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


def _written(form: Any) -> list[str]:
    """What was changed on the page, and nothing that somebody else has changed meanwhile."""
    changed = {name for name in form.changed_data if name in _COLUMNS}
    pause = {"paused", "paused_by", "paused_reason", "paused_until"}
    return [*(changed | pause if changed & pause else changed), "updated_at"]


class PolicyForm(PolicyModelForm):
    """Finds what the database would refuse, and what would have no effect."""

    reason = forms.CharField(max_length=MOST_REASON, help_text="Why the policy changes; recorded with who did it.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, most in (("weight", 1e6), ("rate", 1e9)):
            if name in self.fields:
                self.fields[name].validators.append(MaxValueValidator(most))
        if "paused_until" in self.fields:
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
        if "paused" in self.fields and values.get("paused_until") and not values.get("paused"):
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

    delete_confirmation_template = "admin/outbox/tenantpolicy/delete.html"

    def get_readonly_fields(self, request: HttpRequest, obj: TenantPolicy | None = None) -> tuple[str, ...]:
        # The tenant is the primary key: changing it would leave the old row and make another.
        key = () if obj is None else ("tenant_id",)
        pause = () if self.has_pause_permission(request) else ("paused", "paused_reason", "paused_until")
        return ("paused_by", "updated_at", *key, *pause)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Policies are deleted one by one, each for its reason."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def has_delete_permission(self, request: HttpRequest, obj: TenantPolicy | None = None) -> bool:
        """With its policy a tenant's pause is gone."""
        may = super().has_delete_permission(request, obj)
        return may and (obj is None or not obj.paused or self.has_pause_permission(request))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and not form.is_valid():
            if not self.has_delete_permission(request, self.get_object(request, unquote(object_id))):
                raise PermissionDenied
            self.message_user(request, "Nothing was deleted: say why.", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().delete_view(request, object_id, {"reason_form": form, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: TenantPolicy, form: Any, change: bool) -> None:
        """Who pauses is recorded, and nothing remains of a pause that is over."""
        if not obj.paused:
            obj.paused_by, obj.paused_reason, obj.paused_until = "", "", None
        elif "paused" in form.changed_data:
            obj.paused_by = request.user.get_username()
        using = self.get_queryset(request).db
        with transaction.atomic(using=using):
            before = TenantPolicy.objects.using(using).select_for_update().filter(pk=obj.pk).first() if change else None
            obj.save(using=using, update_fields=_written(form) if before else None)
            self._record(request, "set_policy", before, obj, form.cleaned_data["reason"])

    def delete_model(self, request: HttpRequest, obj: TenantPolicy) -> None:
        with transaction.atomic(using=self.get_queryset(request).db):
            self._record(request, "delete_policy", obj, None, request.POST.get("reason", ""))
            super().delete_model(request, obj)

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
