"""Old moves go, what staff decided stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from pytest_django import Settings

from circuits.models import CircuitTransition
from circuits.operations import history

pytestmark = pytest.mark.django_db


def moved(why: str, *, days_ago: float, by: str = "") -> CircuitTransition:
    return CircuitTransition.objects.create(
        tenant_id="acme",
        name="memory",
        from_state="closed",
        to_state="open",
        why=why,
        by=by,
        at=Now() - timedelta(days=days_ago),
        epoch=1,
    )


def left() -> set[int]:
    return set(CircuitTransition.objects.values_list("id", flat=True))


def test_old_moves_go_and_decisions_and_young_ones_stay() -> None:
    moved("failures", days_ago=91)
    kept = {moved("failures", days_ago=89).id, moved("staff", days_ago=400, by="ann").id}
    kept.add(moved("thresholds", days_ago=400, by="ann").id)
    assert history.prune() == 1
    assert left() == kept


def test_they_go_a_few_at_a_time_with_a_rest_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BATCH", 2)
    for _ in range(5):
        moved("failures", days_ago=100)
    told: list[int] = []
    rests: list[float] = []
    assert history.prune(progress=told.append, rest=rests.append) == 5
    assert (told, len(rests)) == ([2, 4, 5], 2)


def test_no_batch_begins_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BATCH", 1)
    for _ in range(3):
        moved("failures", days_ago=100)
    ticks = iter(range(100))
    assert history.prune(seconds=4, rest=lambda _: None, clock=lambda: float(next(ticks))) == 1


@pytest.mark.parametrize("given", ["", None])
def test_a_history_may_be_kept_for_ever(given: Any, settings: Settings) -> None:
    settings.CIRCUITS_HISTORY_DAYS = given
    moved("failures", days_ago=10_000)
    assert history.prune() == 0
    assert len(left()) == 1


@pytest.mark.parametrize(("why", "days_ago"), [("failures", 0.5), ("staff", 400), ("thresholds", 400)])
def test_the_database_refuses_to_delete_what_is_new_or_decided(why: str, days_ago: float) -> None:
    moved(why, days_ago=days_ago)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM circuits_transitions")
