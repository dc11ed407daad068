"""Whose memory it is, and what a memory is called."""

from __future__ import annotations

import re
from typing import Any

from outbox.enqueueing.excerpts import excerpt
from outbox.models.names import DEFAULT_TENANT, TENANT_MAX_LENGTH, TENANT_PATTERN
from somabrain.memory.errors import InvalidArgument

CIRCUIT = "memory"
"""The circuit of each tenant."""
TOPIC = "memory.remember"
"""Where writes go that the memory could not take."""

NAMESPACE_MAX_LENGTH = 64
KEY_MAX_LENGTH = 190
"""Namespace, colon and key are the event's partition key, which has room for 255 characters."""

_is_tenant = re.compile(TENANT_PATTERN).fullmatch
_is_namespace = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*").fullmatch


def tenant_of(namespace: str) -> str:
    """What follows the last colon, or else all of it: `notes:acme` and `acme` are the tenant acme's."""
    return namespace.rpartition(":")[2]


def checked_tenant(tenant_id: Any) -> str:
    """Raises `InvalidArgument`."""
    if not isinstance(tenant_id, str) or len(tenant_id) > TENANT_MAX_LENGTH or not _is_tenant(tenant_id):
        raise InvalidArgument(
            "tenant_id",
            excerpt(tenant_id),
            f"a tenant is named by 1 to {TENANT_MAX_LENGTH} of A-Z a-z 0-9 . _ - and begins with a letter or digit; "
            f'give tenant_id, such as "{DEFAULT_TENANT}", if it is not the end of the namespace',
        )
    return tenant_id


def checked_namespace(namespace: Any) -> str:
    """Raises `InvalidArgument`."""
    fits = isinstance(namespace, str) and len(namespace) <= NAMESPACE_MAX_LENGTH and _is_namespace(namespace)
    if not fits:
        rule = f"1 to {NAMESPACE_MAX_LENGTH} of A-Z a-z 0-9 . _ : - are possible, and a letter or digit first"
        raise InvalidArgument("namespace", excerpt(namespace), rule)
    return str(namespace)


def checked_key(key: Any) -> str:
    """Raises `InvalidArgument`. What else a text may not contain is found with the event."""
    if not isinstance(key, str) or not 1 <= len(key) <= KEY_MAX_LENGTH:
        raise InvalidArgument("key", excerpt(key), f"it must be a str of 1 to {KEY_MAX_LENGTH} characters")
    return key
