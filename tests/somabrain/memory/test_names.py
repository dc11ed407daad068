from __future__ import annotations

from typing import Any

import pytest

from somabrain.memory.errors import InvalidArgument
from somabrain.memory.http import HttpMemoryBackend
from somabrain.memory.service import MemoryService

BACKEND = HttpMemoryBackend("http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("namespace", "tenant_id"), [("acme", "acme"), ("notes:acme", "acme"), ("a:b:acme-1.x_y", "acme-1.x_y")]
)
def test_the_namespace_says_whose_it_is(namespace: str, tenant_id: str) -> None:
    service = MemoryService(BACKEND, namespace)
    assert (service.tenant_id, service.namespace) == (tenant_id, namespace)


def test_a_tenant_may_be_named_by_itself() -> None:
    service = MemoryService(BACKEND, "notes", tenant_id="acme")
    assert (service.tenant_id, service.namespace) == ("acme", "notes")


@pytest.mark.parametrize("tenant_id", ["", "*", "_other", "a:b", "a/b", "..", "a b", "ä", "a\n", "a" * 65, 7, b"acme"])
def test_a_tenant_that_cannot_be_one_is_refused_with_a_clear_error(tenant_id: Any) -> None:
    with pytest.raises(InvalidArgument, match="tenant_id=") as refusal:
        MemoryService(BACKEND, "notes", tenant_id=tenant_id)
    assert "begins with a letter or digit" in str(refusal.value)


@pytest.mark.parametrize("namespace", ["", ":acme", "../acme", "a b", "a\n", "a" * 65, None])
def test_a_namespace_that_cannot_be_one_is_refused(namespace: Any) -> None:
    with pytest.raises(InvalidArgument, match="namespace="):
        MemoryService(BACKEND, namespace)


def test_a_namespace_that_ends_in_no_tenant_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="give tenant_id"):
        MemoryService(BACKEND, "notes:")
