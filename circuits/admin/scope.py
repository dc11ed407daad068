from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from circuits.admin.confirming import ConfirmedForms
from circuits.admin.forms import DecisionForm
from circuits.console import scope
from circuits.console.client import origin
from circuits.console.lists import BoundedAdmin
from circuits.errors import InvalidName
from circuits.models import StaffTenantScope
from circuits.names import EVERY_TENANT, checked_key
from circuits.signals import staff_limited

if TYPE_CHECKING:
    ScopeModelForm = forms.ModelForm[StaffTenantScope]
else:
    ScopeModelForm = forms.ModelForm


class ScopeForm(ScopeModelForm):
    reason = forms.CharField(max_length=1_000, help_text="Recorded, with who did it.")

    def clean_tenant_id(self) -> str:
        tenant_id: str = self.cleaned_data["tenant_id"]
        try:
            checked_key(tenant_id, "other")
        except InvalidName as error:
            raise ValidationError(str(error)) from error
        if tenant_id == EVERY_TENANT:
            raise ValidationError("Whoever may see everyone has no limit: name a tenant.")
        return tenant_id


class DeleteForm(DecisionForm):
    """Why a limit is taken back; if it is the last one, that this is meant."""

    def __init__(self, *args: Any, is_last: bool, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if is_last:
            self.fields["unlimited"] = forms.BooleanField(label=f"{user} may see all tenants from now on")


@admin.register(StaffTenantScope)
class ScopeAdmin(ConfirmedForms, BoundedAdmin):
    """Tenants that members of staff are limited to. Added and deleted, never changed, and nobody's own."""

    form = ScopeForm
    effect = "From their next page on they see this tenant, and none but those that they are limited to:"
    tenant_field = None
    list_display = ("user", "tenant_id")
    list_display_links = ("user", "tenant_id")
    list_select_related = ("user",)
    ordering = ("user_id", "tenant_id")
    sortable_by = ()
    search_fields = ("tenant_id",)
    search_help_text = "A user's name or a tenant, exactly."
    delete_confirmation_template = "admin/circuits/stafftenantscope/delete.html"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[StaffTenantScope], search_term: str
    ) -> tuple[QuerySet[StaffTenantScope], bool]:
        word = search_term.strip()
        if word:
            name = f"user__{get_user_model().USERNAME_FIELD}"
            queryset = queryset.filter(Q(**{name: word}) | Q(tenant_id=word))
        return queryset, False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Limits are lifted one by one: each is asked about."""
        return {}

    # who may

    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) and _is_free(request)

    def has_view_permission(self, request: HttpRequest, obj: StaffTenantScope | None = None) -> bool:
        return super().has_view_permission(request, obj) and _is_free(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and _is_free(request)

    def has_change_permission(self, request: HttpRequest, obj: StaffTenantScope | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: StaffTenantScope | None = None) -> bool:
        may = super().has_delete_permission(request, obj) and _is_free(request)
        return may and (obj is None or request.user.is_superuser or obj.user_id != request.user.pk)

    # adding

    def get_form(
        self, request: HttpRequest, obj: StaffTenantScope | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        if "user" in form.base_fields:
            # Superusers are never limited, and nobody sets limits of their own.
            others = get_user_model()._default_manager.filter(is_staff=True, is_superuser=False)
            form.base_fields["user"].queryset = others.exclude(pk=request.user.pk or 0)
            form.base_fields["user"].widget.can_add_related = False
            form.base_fields["user"].widget.can_change_related = False
            form.base_fields["user"].widget.can_view_related = False
        return form

    def get_fields(self, request: HttpRequest, obj: StaffTenantScope | None = None) -> tuple[str, ...]:
        return ("user", "tenant_id") if obj else ("user", "tenant_id", "reason")

    def save_model(self, request: HttpRequest, obj: StaffTenantScope, form: Any, change: bool) -> None:
        with transaction.atomic(using=self._using(request)):
            before = self._tenants(request, obj)
            super().save_model(request, obj, form, change)
            self._tell(request, "add_scope", obj, before, form.cleaned_data["reason"])

    # deleting

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        limit = self.get_object(request, object_id)
        if not self.has_delete_permission(request, limit):
            raise PermissionDenied
        form = self._delete_form(request, limit)
        if request.method == "POST" and not form.is_valid():
            self.message_user(request, "Nothing was deleted: say why, and that it is meant.", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        extra = {"form": form, "is_last": "unlimited" in form.fields, **(extra_context or {})}
        return super().delete_view(request, object_id, extra)

    def delete_model(self, request: HttpRequest, obj: StaffTenantScope) -> None:
        """With the user's limits locked: of two at once neither is to find that the other's is left."""
        with transaction.atomic(using=self._using(request)):
            before = self._tenants(request, obj)
            form = self._delete_form(request, obj, is_last=before == [obj.tenant_id])
            if not form.is_valid():
                raise PermissionDenied("It is the last limit by now: look again.")
            super().delete_model(request, obj)
            self._tell(request, "delete_scope", obj, before, form.cleaned_data["reason"])

    def _delete_form(self, request: HttpRequest, limit: StaffTenantScope, *, is_last: bool | None = None) -> DeleteForm:
        if is_last is None:
            limits = StaffTenantScope.objects.using(self._using(request)).filter(user_id=limit.user_id)
            is_last = not limits.exclude(pk=limit.pk).exists()
        return DeleteForm(request.POST if request.method == "POST" else None, is_last=is_last, user=limit.user)

    # recording

    def _using(self, request: HttpRequest) -> str:
        return self.get_queryset(request).db

    def _tenants(self, request: HttpRequest, limit: StaffTenantScope) -> list[str]:
        limits = StaffTenantScope.objects.using(self._using(request)).filter(user_id=limit.user_id)
        return list(limits.select_for_update().order_by("tenant_id").values_list("tenant_id", flat=True))

    def _tell(self, request: HttpRequest, verb: str, limit: StaffTenantScope, before: list[str], reason: str) -> None:
        staff_limited.send(
            sender=StaffTenantScope,
            verb=verb,
            by=request.user.get_username(),
            origin=origin(request),
            reason=reason,
            limited=limit.user.get_username(),
            before=before,
            after=self._tenants(request, limit),
        )


def _is_free(request: HttpRequest) -> bool:
    """Whoever is limited sees nobody's limits, and changes none."""
    return scope.tenants_of(request) is None
