"""An application needs no more rights than the page about deploying says."""

from __future__ import annotations

import os
import re

import pytest
from django.db import connection, transaction
from psycopg import sql

from outbox import sql as outbox_sql
from outbox.api import NewEvent, enqueue, enqueue_many, get_pending_events
from tests.docs.pages import DOCS

_PAGE = DOCS / "how-to" / "deploy.md"
# Roles belong to the server, which other runs may share.
_ROLE = f"shop_{os.getpid()}"


@pytest.fixture
def as_application(db: None) -> None:
    """The rest of the test's transaction, as a role that has been granted what the page says and nothing else."""
    grants = re.findall(r"^\s*(GRANT .*;)$", _PAGE.read_text(), re.MULTILINE)
    assert len(grants) == 3
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {_ROLE}")
        cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        for grant in grants:
            cursor.execute(grant.replace("somabrain", f'"{name}"').replace("TO shop", f"TO {_ROLE}"))
        cursor.execute(f"SET LOCAL ROLE {_ROLE}")


def test_it_enqueues_with_the_rights_of_the_page(as_application: None) -> None:
    with transaction.atomic():
        first = enqueue(topic="orders", payload={"id": 1}, dedupe_key="1")
        assert enqueue(topic="orders", payload={"id": 1}, dedupe_key="1").event_id == first.event_id
        written = enqueue_many([NewEvent(topic="orders", payload={"id": n}, dedupe_key=str(n)) for n in (1, 2, 3)])
    assert (written.created, written.duplicates) == (2, 1)
    assert len(get_pending_events()) == 3


def test_it_reads_limits_with_the_rights_of_the_page(as_application: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(outbox_sql.load("backlog_limits"))
