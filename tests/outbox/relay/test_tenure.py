"""What the scan need not look for, and the clock."""

from __future__ import annotations

import math

from outbox.relay.tenure import RECENT_SECONDS, Tenure
from tests.outbox.relay.tenures import claim


def test_lanes_candidates_and_recent_ones_are_known(tenure: Tenure) -> None:
    claim(tenure, "held", "recent")
    tenure.candidates.at["candidate"] = 0.0
    tenure.forget(tenure.lanes["recent"], now=0.0, again_at=None)
    assert sorted(tenure.known()) == ["candidate", "held", "recent"]


def test_what_was_drained_minutes_ago_is_forgotten(tenure: Tenure) -> None:
    claim(tenure, "old", "new")
    tenure.forget(tenure.lanes["old"], now=0.0, again_at=None)
    tenure.forget(tenure.lanes["new"], now=10.0, again_at=None)
    tenure.renewal(RECENT_SECONDS + 5.0)
    assert tenure.known() == ["new"]


def test_a_lane_given_back_with_work_is_a_candidate_again(tenure: Tenure) -> None:
    claim(tenure, "a", "b")
    tenure.forget(tenure.lanes["a"], now=3.0, again_at=4.0)
    tenure.forget(tenure.lanes["b"], now=3.0, again_at=None)
    assert tenure.candidates.at == {"a": 4.0}
    assert tenure.lanes == {}


def test_the_databases_clock_is_carried_on(tenure: Tenure) -> None:
    assert tenure.db_now(2.5) - tenure.db_now(0.0) == 2_500_000
    assert math.isfinite(tenure.db_now(0.0))
