from __future__ import annotations

from typing import Any

import pytest
from django.utils.module_loading import import_string
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from outbox import tasks
from outbox.operations.prune import AlreadyPruning, Pruned

pytestmark = pytest.mark.django_db


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs that end like this; the seconds they were given."""
    seconds: list[float] = []

    def end(done: Pruned | Exception) -> list[float]:
        def prune(**arguments: float) -> Pruned:
            seconds.append(arguments["seconds"])
            if isinstance(done, Exception):
                raise done
            return done

        monkeypatch.setattr(tasks, "prune_now", prune)
        return seconds

    return end


def queued() -> list[dict[str, Any]]:
    return [SignedPackage.loads(row.payload) for row in OrmQ.objects.all()]


def test_a_run_that_looked_at_everything_is_the_last_one(given: Any) -> None:
    given(Pruned(events={"sent": 3, "discarded": 1}, finished=True))
    assert tasks.prune() == "4 events deleted."
    assert queued() == []


def test_what_is_left_is_another_tasks(given: Any) -> None:
    given(Pruned(events={"sent": 3}))
    tasks.prune()
    (task,) = queued()
    assert (task["func"], task["save"]) == (tasks.PRUNE, False)


def test_somebody_elses_run_is_not_disturbed(given: Any) -> None:
    given(AlreadyPruning("busy"))
    assert tasks.prune() == "Another process prunes."
    assert queued() == []


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 20), (90, 20), (30, 10)])
def test_a_run_stays_well_below_the_time_out_of_a_task(
    given: Any, monkeypatch: pytest.MonkeyPatch, timeout: int | None, seconds: float
) -> None:
    monkeypatch.setattr(Conf, "TIMEOUT", timeout)
    asked = given(Pruned(finished=True))
    tasks.prune()
    assert asked == [seconds]


def test_the_task_can_be_found_by_its_name() -> None:
    assert import_string(tasks.PRUNE) is tasks.prune
