"""Pages of the admin that are no table's: other names for one, so that the admin lists and leads to them."""

from __future__ import annotations

from outbox.models.backlog import BacklogCount
from outbox.models.policy import TenantPolicy


class Overview(BacklogCount):
    """All tenants at a glance."""

    class Meta:
        proxy = True
        # Who may see it is decided by the permissions of what it shows.
        default_permissions = ()
        verbose_name = "overview"
        verbose_name_plural = "overview"


class Tenant(TenantPolicy):
    """All about one tenant, whether it has a policy or not."""

    class Meta:
        proxy = True
        default_permissions = ()
