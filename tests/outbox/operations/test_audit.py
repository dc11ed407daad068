"""The record of operators' actions is added to, and nothing else."""

from __future__ import annotations

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction

from outbox.models import OperatorAction
from outbox.operations import audit
from outbox.operations.audit import MOST_REASON, NoReason
from tests.outbox.operations.rows import ANN

pytestmark = pytest.mark.django_db


@pytest.fixture
def action() -> OperatorAction:
    audit.record(by=ANN, verb="pause", using="default", reason="a move", filter={"tenant": "acme"})
    return OperatorAction.objects.get()


def test_who_what_when_and_why_are_recorded(action: OperatorAction) -> None:
    assert (action.actor, action.source, action.address) == ("ann", "admin", "192.0.2.1")
    assert (action.verb, action.reason, action.filter) == ("pause", "a move", {"tenant": "acme"})
    assert action.at is not None


@pytest.mark.parametrize(
    "statement", ["UPDATE outbox_operator_actions SET actor = 'bob'", "DELETE FROM outbox_operator_actions"]
)
def test_the_database_refuses_to_change_or_delete_it(action: OperatorAction, statement: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_table_cannot_be_emptied(action: OperatorAction) -> None:
    with pytest.raises(IntegrityError, match="TRUNCATE refused"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL outbox.may_truncate_operator_actions = ''")
        cursor.execute("TRUNCATE outbox_operator_actions")


def test_an_empty_table_may_be_truncated_as_flush_does() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL outbox.may_truncate_operator_actions = ''")
        cursor.execute("TRUNCATE outbox_operator_actions")


def test_nor_does_the_orm_change_it(action: OperatorAction) -> None:
    action.actor = "bob"
    for change in (
        action.save,
        action.delete,
        lambda: OperatorAction.objects.update(reason=""),
        lambda: OperatorAction.objects.all().delete(),
    ):
        with pytest.raises(IntegrityError) as raised, transaction.atomic():
            change()
        assert isinstance(raised.value.__cause__, psycopg.errors.RestrictViolation)
    assert OperatorAction.objects.get().actor == "ann"


@pytest.mark.parametrize("reason", ["", "  \n", "\x00"])
def test_a_reason_is_asked_for(reason: str) -> None:
    with pytest.raises(NoReason, match="say why"):
        audit.checked_reason(reason)


def test_a_reason_is_tidied_and_has_an_end() -> None:
    assert audit.checked_reason("  their\nimport  ran twice ") == "their import ran twice"
    with pytest.raises(NoReason, match="at most"):
        audit.checked_reason("x" * (MOST_REASON + 1))
