"""`manage.py outbox prune`."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from circuits.sessions import open_session
from outbox.models import EventStatus, OperatorAction, OutboxEvent
from outbox.operations import prune as operation
from outbox.operations.prune import LOCK
from tests.outbox.management.said import OK, USAGE, WRONG, Said
from tests.outbox.operations.rows import event

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def three_are_over(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OUTBOX_RETENTION_DAYS = 30
    monkeypatch.setattr(operation, "BATCH", 2)
    at = timezone.now() - timedelta(days=31)
    for _ in range(3):
        event(status=EventStatus.SENT, created_at=at, sent_at=at)
    event(status=EventStatus.SENT, created_at=at, sent_at=timezone.now())


def test_what_is_over_is_deleted_and_recorded() -> None:
    said = Said("prune", "--yes")
    assert (said.code, said.out) == (OK, "Deleted 3 events (3 sent).\n")
    assert OutboxEvent.objects.count() == 1
    action = OperatorAction.objects.get()
    assert (action.verb, action.counts, action.reason) == ("prune", {"sent": 3}, "")


def test_whoever_says_why_is_recorded_with_it() -> None:
    assert Said("prune", "--yes", "--reason", " the disk\nis full ").code == OK
    assert OperatorAction.objects.get().reason == "the disk is full"


def test_a_reason_that_is_too_long_deletes_nothing() -> None:
    said = Said("prune", "--yes", "--reason", "x" * 1_001)
    assert (said.code, said.complaint) == (USAGE, "A reason has at most 1000 characters, this one 1001.")
    assert OutboxEvent.objects.count() == 4


def test_nothing_to_delete_is_no_failure_and_leaves_no_record() -> None:
    Said("prune", "--yes")
    said = Said("prune", "--yes")
    assert (said.code, said.out) == (OK, "Deleted 0 events.\n")
    assert OperatorAction.objects.count() == 1


def test_a_dry_run_only_counts() -> None:
    said = Said("prune", "--dry-run", "--json")
    assert said.code == OK
    assert said.lines == [{"events": 3, "statuses": {"sent": 3}, "finished": True, "dry_run": True}]
    assert OutboxEvent.objects.count() == 4
    assert not OperatorAction.objects.exists()


def test_a_limit_is_kept_and_said() -> None:
    said = Said("prune", "--yes", "--limit", "2")
    assert (said.code, said.out) == (OK, "Deleted 2 events (2 sent). There may be more.\n")


def test_nothing_is_deleted_without_consent(settings: Settings) -> None:
    said = Said("prune")
    assert said.code == USAGE
    assert said.complaint.startswith("Delete sent and discarded events older than 30 days, or as their policies say")
    settings.OUTBOX_RETENTION_DAYS = None
    settings.OUTBOX_DEAD_LETTER_RETENTION_DAYS = 90
    complaint = Said("prune").complaint
    assert "whose tenant's policy sets an end, and dead letters older than 90 days, for good?" in complaint
    assert OutboxEvent.objects.count() == 4


def test_another_pruner_is_a_reason_to_stop() -> None:
    with open_session("default", name="another pruner") as session, session.transaction():
        session.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        said = Said("prune", "--yes")
    assert (said.code, said.complaint[:27]) == (WRONG, "Another process prunes this")


def test_an_interruption_says_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    run = operation.prune
    monkeypatch.setattr(operation, "prune", lambda **arguments: run(**arguments, rest=interrupt))
    said = Said("prune", "--yes")
    assert (said.code, said.complaint) == (WRONG, "Stopped. Run it again to go on.")
    assert said.out == "Deleted 2 events (2 sent). There may be more.\n"
    assert OperatorAction.objects.get().counts == {"sent": 2}
