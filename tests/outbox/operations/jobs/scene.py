"""Jobs on a clock of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outbox.models import EventStatus, JobVerb, OutboxJob
from outbox.operations.filters import Filter
from outbox.operations.jobs import desk
from outbox.operations.jobs.work import Outcome, run_slice
from tests.outbox.operations.rows import ANN

DEAD = Filter(statuses=(EventStatus.FAILED,))


class Clock:
    """Time passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        self.at_sleep: Callable[[], object] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        self.at_sleep()


def started(verb: JobVerb = JobVerb.REPLAY, given: Filter = DEAD, **how: Any) -> int:
    return desk.start(verb=verb, given=given, by=ANN, reason="the topic is there", **how)


def work(job_id: int, *, seconds: float = 1_000, clock: Clock | None = None) -> Outcome:
    clock = clock or Clock()
    return run_slice(job_id, seconds=seconds, clock=clock, sleep=clock.sleep)


def job(job_id: int) -> OutboxJob:
    return OutboxJob.objects.get(pk=job_id)
