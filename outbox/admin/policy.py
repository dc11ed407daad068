from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import MaxValueValidator
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from circuits.admin.confirming import ConfirmedForms
from circuits.console.lists import BoundedAdmin
from outbox.admin.decisions import ReasonForm
from outbox.admin.operator import operator
from outbox.admin.pausing import PausePages
from outbox.models import TenantPolicy
from outbox.models.names import EVERY_TENANT, TENANT_PATTERN
from outbox.operations import audit, pause
from outbox.operations.audit import MOST_REASON
from outbox.operations.pause import HOLDING

if TYPE_CHECKING:
    PolicyModelForm = forms.ModelForm[TenantPolicy]
else:
    PolicyModelForm = forms.ModelForm

_is_tenant = re.compile(TENANT_PATTERN).fullmatch
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
_SHOWN = ("is_paused", "paused_by", "paused_reason", "paused_until", "updated_at")


def _written(form: Any) -> list[str]:
    """What was changed on the page, and nothing that somebody else has changed meanwhile."""
    return [*(name for name in form.changed_data if name in _COLUMNS), "updated_at"]


class PausedFilter(admin.SimpleListFilter):
    """By whether a pause holds. One that is over does not."""

    title = "paused"
    parameter_name = "paused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "yes"), ("no", "no")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[TenantPolicy]) -> QuerySet[TenantPolicy]:
        if self.value() == "yes":
            return queryset.filter(HOLDING)
        return queryset.exclude(HOLDING) if self.value() == "no" else queryset


class PolicyForm(PolicyModelForm):
    """Finds what the database would refuse, and what would have no effect."""

    reason = forms.CharField(max_length=MOST_REASON, help_text="Why the policy changes; recorded with who did it.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, most in (("weight", 1e6), ("rate", 1e9)):
            if name in self.fields:
                self.fields[name].validators.append(MaxValueValidator(most))
        if "tenant_id" in self.fields:
            self.fields["tenant_id"].help_text = "A tenant's whole name."

    def clean_tenant_id(self) -> str:
        tenant_id: str = self.cleaned_data["tenant_id"]
        if tenant_id == EVERY_TENANT:
            raise ValidationError(f"{EVERY_TENANT} is everyone, who can only be paused: by a button above the list.")
        if not _is_tenant(tenant_id):
            raise ValidationError("A tenant is named by A-Z a-z 0-9 . _ - and begins with a letter or digit.")
        return tenant_id


@admin.register(TenantPolicy)
class PolicyAdmin(PausePages, ConfirmedForms, BoundedAdmin):
    """What staff decide about a tenant; relays follow within a second. Every change is recorded.

    Pausing has pages of its own, and is only shown on these.
    """

    form = PolicyForm
    effect = "Relays and the application's processes go by it within a second:"
    of_nothing: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("rate", "batch_quota", "backlog_limit"), "no limit"),
        "retention_days": "the default",
    }
    list_display = (
        "tenant_id",
        "weight",
        "rate",
        "batch_quota",
        "backlog_limit",
        "is_paused",
        "paused_by",
        "paused_until",
        "retention_days",
        "updated_at",
    )
    list_filter = (PausedFilter,)
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
        "is_paused",
        "paused_by",
        "paused_reason",
        "paused_until",
        "updated_at",
        "reason",
    )

    delete_confirmation_template = "admin/outbox/tenantpolicy/delete.html"

    @admin.display(boolean=True, description="paused")
    def is_paused(self, policy: TenantPolicy) -> bool:
        """Whether the pause holds."""
        return pause.holds(policy, now=timezone.now())

    def get_fields(self, request: HttpRequest, obj: TenantPolicy | None = None) -> tuple[str, ...]:
        may = self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj)
        hidden = (*(() if obj else _SHOWN), *(() if may else ("reason",)))
        return tuple(name for name in self.fields if name not in hidden)

    def get_readonly_fields(self, request: HttpRequest, obj: TenantPolicy | None = None) -> tuple[str, ...]:
        # The tenant is the primary key: changing it would leave the old row and make another.
        return _SHOWN if obj is None else (*_SHOWN, "tenant_id")

    def has_change_permission(self, request: HttpRequest, obj: TenantPolicy | None = None) -> bool:
        """The row of everyone can only pause: each tenant's own row decides the rest."""
        return super().has_change_permission(request, obj) and (obj is None or obj.pk != EVERY_TENANT)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        more = {"is_paused": obj is not None and self.is_paused(obj), "may_pause": self.has_pause_permission(request)}
        return super().render_change_form(request, {**context, **more}, *args, obj=obj, **kwargs)

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
        """Only what was changed, with its record."""
        using = self.get_queryset(request).db
        with transaction.atomic(using=using):
            before = TenantPolicy.objects.using(using).select_for_update().filter(pk=obj.pk).first() if change else None
            for name in set(_COLUMNS).difference(form.changed_data) if before else ():
                setattr(obj, name, getattr(before, name))
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
