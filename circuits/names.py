"""Rules for the names that circuits go by."""

from __future__ import annotations

import re
from typing import Any

from circuits.errors import InvalidName

Key = tuple[str, str]
"""Tenant and name."""

# The columns' own lengths do the counting.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
NAME_MAX_LENGTH = 64

EVERY_TENANT = "*"
"""Stands for all tenants where a dependency fails for everyone at once; no tenant can be named so."""

OTHER_TENANTS = "_other"
"""Stands for the tenants that figures do not tell apart; no tenant can be named so."""

_is_name = re.compile(NAME_PATTERN).fullmatch


def checked_key(tenant_id: str, name: str) -> Key:
    """Raises `InvalidName`."""
    if tenant_id != EVERY_TENANT and not _fits(tenant_id):
        raise InvalidName("tenant_id", tenant_id)
    if not _fits(name):
        raise InvalidName("name", name)
    return tenant_id, name


def _fits(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= NAME_MAX_LENGTH and _is_name(name) is not None
