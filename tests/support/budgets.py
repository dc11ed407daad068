"""How many questions a page asks the database, beyond who is asking and transaction control."""

from __future__ import annotations

import re
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

# Of which tenants somebody may know belongs to who they are.
_WHO_ASKS = re.compile(
    r'FROM "(django_session|auth_user|auth_permission|auth_group)"|^SELECT "staff_tenant_scopes"."tenant_id" (AS|FROM)'
)
_CONTROL = re.compile(
    r"^(SAVEPOINT|RELEASE|ROLLBACK|BEGIN|COMMIT|SET LOCAL|SELECT set_config|SELECT current_setting|SHOW)"
)


def questions(client: Client, path: str) -> list[str]:
    """What the page at the path asks. It has to be there."""
    with CaptureQueriesContext(connection) as captured:
        response: Any = client.get(path)
    assert response.status_code == 200, f"{path}: {response.status_code}"
    return counted(captured)


def counted(captured: CaptureQueriesContext) -> list[str]:
    """Those of the statements that a budget is about."""
    statements = (str(each["sql"]).strip() for each in captured)
    return [each for each in statements if not _WHO_ASKS.search(each) and not _CONTROL.match(each)]
