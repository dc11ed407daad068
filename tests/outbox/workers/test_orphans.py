from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import NoReturn

import pytest

from outbox.workers import orphans

ORPHANS = "outbox.workers.orphans"


class Ended(Exception):
    """The process would have ended here."""


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> NoReturn:
        raise Ended(code)

    monkeypatch.setattr(f"{ORPHANS}.os", SimpleNamespace(_exit=end))


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(f"{ORPHANS}.time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.mark.parametrize(("given", "waited"), [(12.0, 12.0), (None, threading.TIMEOUT_MAX)])
def test_a_sentinel_without_main_stops_its_cluster_and_ends_when_the_time_is_over(
    exits: None, slept: list[float], given: float | None, waited: float
) -> None:
    cluster = SimpleNamespace(stop_event=threading.Event())
    with pytest.raises(Ended):
        orphans._end_sentinel(cluster, given)
    assert cluster.stop_event.wait(60)
    assert slept == [waited]


def test_a_sentinel_whose_main_died_while_it_stopped_ends_at_once(exits: None) -> None:
    cluster = SimpleNamespace(stop_event=threading.Event())
    cluster.stop_event.set()
    with pytest.raises(Ended):
        orphans._ask_to_stop(cluster)


def test_an_orphan_does_its_last_duties_and_ends_even_if_they_fail(
    exits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def fail() -> None:
        done.append("drained")
        raise RuntimeError

    monkeypatch.setattr(orphans, "_last_duties", [fail])
    with pytest.raises(Ended):
        orphans._end_child()
    assert done == ["drained"]


def test_an_orphan_is_noticed_by_its_new_parent(monkeypatch: pytest.MonkeyPatch, slept: list[float]) -> None:
    parents = iter([7, 7, 1])
    monkeypatch.setattr(f"{ORPHANS}.os", SimpleNamespace(getppid=lambda: next(parents)))
    ended: list[bool] = []
    orphans._watch(7, lambda: ended.append(True))
    assert ended == [True]
    assert len(slept) == 2


@pytest.mark.parametrize(("generation", "alone"), [(1, True), (2, True), (3, False)])
def test_only_the_clusters_own_processes_step_out_of_its_group(
    generation: int, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a task forks stays with its worker, and is watched by nobody."""
    left: list[tuple[int, int]] = []
    monkeypatch.setattr(orphans, "_generation", generation - 1)
    monkeypatch.setattr(f"{ORPHANS}.os", SimpleNamespace(setpgid=lambda *group: left.append(group)))
    orphans._step_aside()
    assert bool(left) is alone


def test_who_is_no_child_or_was_forked_by_a_task_watches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> NoReturn:
        raise AssertionError("a thread was started")

    monkeypatch.setattr(f"{ORPHANS}.threading", SimpleNamespace(Thread=refuse))
    orphans._watch_parent(None, stop_seconds=1.0)
    parent = SimpleNamespace(parent_process=lambda: SimpleNamespace(pid=7))
    monkeypatch.setattr(f"{ORPHANS}.multiprocessing", parent)
    monkeypatch.setattr(orphans, "_generation", 3)
    orphans._watch_parent(None, stop_seconds=1.0)
