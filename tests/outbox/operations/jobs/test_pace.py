"""The rate of a job."""

from __future__ import annotations

import pytest

from outbox.operations.bulk import BATCH
from outbox.operations.jobs.pace import Pace


def test_a_rate_holds_over_many_batches() -> None:
    now, events = 100.0, 0
    pace = Pace(rate=250, now=now)
    while now < 160:
        now += pace.wait(now=now)
        events += pace.size
        pace.charge(pace.size, now=now)
    assert events <= 250 * 60 + pace.size


def test_time_that_was_not_used_is_not_made_up_for() -> None:
    pace = Pace(rate=10, now=0)
    pace.charge(10, now=1_000)
    assert pace.wait(now=1_000) == 1


@pytest.mark.parametrize(("rate", "size"), [(0.1, 1), (7.9, 7), (10_000, BATCH)])
def test_a_slow_job_has_small_batches(rate: float, size: int) -> None:
    assert Pace(rate=rate, now=0).size == size


def test_another_rate_may_be_the_slower_one() -> None:
    pace = Pace(rate=100, now=0)
    pace.charge(10, now=0, at_least=5)
    assert pace.wait(now=0) == 5
