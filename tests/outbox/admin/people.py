"""Members of staff, by what they may do."""

from __future__ import annotations

from django.contrib.auth.models import Permission, User
from django.db.models import Q

from circuits.models import StaffTenantScope

_MODELS = Q(content_type__app_label__in=["outbox", "circuits"])
_OPERATE = ["pause_tenantpolicy", "steer_tenantcircuit", "replay_outboxevent", "discard_outboxevent"]


def viewer(name: str = "vera") -> User:
    """May look at everything."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(_MODELS, codename__startswith="view_"))
    return user


def operator(name: str = "otto", *, tenants: tuple[str, ...] = ()) -> User:
    """May pause, steer and replay as well; of these tenants alone, if any are given."""
    user = viewer(name)
    user.user_permissions.add(*Permission.objects.filter(_MODELS, codename__in=_OPERATE))
    for tenant_id in tenants:
        StaffTenantScope.objects.create(user=user, tenant_id=tenant_id)
    return user


def superuser(name: str = "ann") -> User:
    return User.objects.create_superuser(name)
