from __future__ import annotations

import pytest

from outbox.models import TenantPolicy
from tests.docs.pages import DOCS, blocks, run


@pytest.mark.django_db
def test_what_is_said_about_retention_holds() -> None:
    page = DOCS / "how-to" / "prune.md"
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.language == "python":
            run(page, block, names)
    assert dict(TenantPolicy.objects.values_list("tenant_id", "retention_days")) == {"acme": 7, "the-bank": 36_500}
