from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from circuits.names import NAME_MAX_LENGTH, NAME_PATTERN


class StaffTenantScope(models.Model):
    """One of the tenants that a member of staff is limited to. Without a row they are not; superusers never are."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tenant_scopes")
    tenant_id = models.CharField(max_length=NAME_MAX_LENGTH, db_collation="C")

    class Meta:
        db_table = "staff_tenant_scopes"
        constraints = (
            models.UniqueConstraint(fields=["user", "tenant_id"], name="uq_staff_tenant_scope"),
            models.CheckConstraint(condition=Q(tenant_id__regex=NAME_PATTERN), name="ck_staff_scope_tenant"),
        )

    def __str__(self) -> str:
        return f"{self.user}: {self.tenant_id}"
