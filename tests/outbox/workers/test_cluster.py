from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django_q.conf import Conf

from outbox.workers import cluster
from outbox.workers.cluster import ClusterFailed


class FakeCluster:
    """A cluster whose sentinel ends when `ends` says so, or when it is killed."""

    def __init__(self, ends: Callable[[FakeCluster], bool] = lambda cluster: False) -> None:
        self.told = False
        self.killed = False
        self._ends = ends
        self.stop_event = SimpleNamespace(set=self._hear)
        self.sentinel = self
        self.joined = 0

    @property
    def exitcode(self) -> int:
        return -9 if self.killed else 0

    def start(self) -> None:
        pass

    def is_alive(self) -> bool:
        return not (self.killed or self._ends(self))

    def join(self, timeout: float) -> None:
        self.joined += 1

    def kill(self) -> None:
        self.killed = True

    def _hear(self) -> None:
        self.told = True


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this process is changed for good."""
    monkeypatch.setattr("outbox.workers.orphans.look_after", lambda *args, **kwargs: None)
    monkeypatch.setattr("outbox.workers.relay.run_in_workers", lambda: None)


def run(fake: FakeCluster, *, asked: Callable[[], int]) -> None:
    cluster.run(cluster=fake, asked=asked)


def test_a_cluster_that_is_asked_ends_in_order() -> None:
    fake = FakeCluster(ends=lambda fake: fake.told)
    run(fake, asked=lambda: 1)
    assert not fake.killed


def test_nobody_tells_a_cluster_to_stop_that_was_not_asked_to() -> None:
    fake = FakeCluster(ends=lambda fake: fake.joined > 3)
    run(fake, asked=lambda: 0)
    assert not fake.told


def test_a_second_wish_kills_the_task_queue() -> None:
    fake = FakeCluster()
    with pytest.raises(ClusterFailed, match="second signal"):
        run(fake, asked=lambda: min(fake.joined, 2))


def test_a_cluster_that_does_not_stop_is_killed_after_the_time_out_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(0, 1_000, 50))
    monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    fake = FakeCluster()
    with pytest.raises(ClusterFailed, match="in time"):
        run(fake, asked=lambda: 1)
    assert fake.joined == 3  # asked at 0 s, 50 s, 100 s, and killed at the first look after 90 s and a drain


def test_without_a_time_out_of_tasks_a_stop_takes_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(0, 1_000_000, 10_000))
    monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    monkeypatch.setattr(Conf, "TIMEOUT", None)
    fake = FakeCluster(ends=lambda fake: fake.joined > 10)
    run(fake, asked=lambda: 1)
    assert not fake.killed


def test_a_sentinel_that_ends_by_itself_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    fake: Any = FakeCluster(ends=lambda fake: True)
    monkeypatch.setattr(FakeCluster, "exitcode", -9)
    with pytest.raises(ClusterFailed, match="ended by itself with exit code -9"):
        run(fake, asked=lambda: 0)
