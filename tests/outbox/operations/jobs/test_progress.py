"""How far a job is, in figures, and what it is about, in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outbox.models import EventStatus, OutboxJob
from outbox.operations.filters import Filter
from outbox.operations.jobs.progress import JobProgress, progress_of, words, words_of
from tests.outbox.operations.rows import BEGAN


def progress(**columns: Any) -> JobProgress:
    times = {"started_at": BEGAN, "moved_at": BEGAN + timedelta(hours=10), "worked_seconds": 10}
    values = {"state": "running", **times, **columns}
    return progress_of(OutboxJob(verb="replay", reason="x", **values))


def test_what_is_left_takes_as_long_as_what_was_done() -> None:
    found = progress(done=40, skipped={"sent": 10}, preview=100)
    assert (found.handled, found.total, found.percent) == (50, 100, 50)
    assert (found.rate, found.left) == (4, timedelta(seconds=12.5))


def test_all_of_it_is_done_only_when_the_job_is() -> None:
    assert progress(done=120, preview=100).percent == 99
    assert progress(done=120, preview=100, state="done").total == 120


@pytest.mark.parametrize("columns", [{"preview": None}, {"preview": 10_000, "preview_more": True}])
def test_of_what_was_not_counted_there_is_no_share(columns: dict[str, Any]) -> None:
    found = progress(done=40, **columns)
    assert (found.total, found.percent, found.left) == (None, None, None)


def test_what_has_not_begun_has_no_rate() -> None:
    assert progress(done=0, preview=10, started_at=None, moved_at=None, worked_seconds=0).rate is None
    assert progress(done=0, preview=10).left is None


@pytest.mark.parametrize("state", ["paused", "cancelled", "failed"])
def test_what_stands_still_has_a_rate_and_no_end(state: str) -> None:
    found = progress(done=5, preview=10, state=state)
    assert (found.rate, found.percent, found.left) == (0.5, 50, None)
    assert progress(done=5, preview=10, waits_for="room").left is None
    assert progress(done=5, preview=10, state="queued").left == timedelta(seconds=10)


def test_none_that_were_counted_are_not_uncounted_ones() -> None:
    assert (progress(done=0, preview=0).total, progress(done=0, preview=0).percent) == (0, 0)
    assert progress(done=3, preview=0).percent == 99


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Filter(), "all events"),
        (Filter(ids=(1,)), "1 event named by number"),
        (Filter(ids=(1, 2)), "2 events named by number"),
        (Filter(tenant_id="acme", dedupe_key="a"), "the event with dedupe key a of tenant acme"),
        (
            Filter(tenant_id="acme", partition_key="k", topic="orders", error_class="topic", up_to_id=7),
            "all events of tenant acme with partition key k for topic orders that failed with topic up to number 7",
        ),
        (
            Filter(statuses=(EventStatus.FAILED, EventStatus.SENT), created_before=BEGAN),
            "failed and sent events created before 2026-01-01 00:00:00 UTC",
        ),
    ],
)
def test_a_filter_in_words(given: Filter, said: str) -> None:
    assert words(given) == said


def test_the_limit_to_tenants_is_said_unless_one_is_named() -> None:
    job = OutboxJob(filter={"status": ["failed"]}, tenants=["acme", "zeta"])
    assert words_of(job) == "failed events of 2 tenants"
    job = OutboxJob(filter={"status": ["failed"], "tenant": "acme"}, tenants=["acme"])
    assert words_of(job) == "failed events of tenant acme"
