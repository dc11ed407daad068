"""What a worker does with a job, batch by batch."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError
from django_q.models import OrmQ
from pytest_django import Settings

from outbox.models import EventStatus, JobState, JobVerb, OperatorAction, OutboxEvent, OutboxJob, TenantPolicy
from outbox.models.functions import ClockTimestamp
from outbox.operations import audit, bulk, listing
from outbox.operations.filters import Filter
from outbox.operations.jobs import desk
from outbox.operations.jobs import work as working
from outbox.operations.jobs.progress import progress_of
from outbox.operations.jobs.states import Action
from outbox.operations.jobs.work import MOST_FAILURES, Outcome
from tests.outbox.operations.jobs.scene import DEAD, Clock, job, started, work
from tests.outbox.operations.rows import ANN, event, failed, status

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "BATCH", 2)


def replayed() -> list[int]:
    """The events in the order in which they were replayed."""
    actions = OperatorAction.objects.filter(verb="replay").order_by("id")
    return [event_id for action in actions for ids in (action.before or {}).values() for event_id in ids]


def test_a_job_goes_through_its_events_in_batches_and_is_done() -> None:
    rows = [failed(second) for second in range(5)]
    job_id = started()
    assert work(job_id) is Outcome.DONE
    found = job(job_id)
    assert (found.state, found.done, found.looked_at, found.skipped) == ("done", 5, 5, {})
    assert found.finished_at and found.started_at and found.lease_until is None
    assert replayed() == [row.pk for row in rows]
    batches = OperatorAction.objects.filter(verb="replay")
    assert [(each.filter["job"], each.actor, each.reason) for each in batches] == [
        (job_id, "ann", "the topic is there")
    ] * 3


def test_what_a_job_is_and_does_is_recorded() -> None:
    failed()
    job_id = started()
    work(job_id)
    verbs = [(each.verb, each.filter["job"]) for each in OperatorAction.objects.order_by("id")]
    assert verbs == [("job_started", job_id), ("replay", job_id), ("job_finished", job_id)]


def test_what_is_enqueued_or_fails_later_is_not_touched() -> None:
    failed(1)
    job_id = started()
    late = failed(2)
    work(job_id)
    assert (job(job_id).done, status(late)) == (1, "failed")


@pytest.mark.parametrize(
    ("verb", "given", "becomes"),
    [
        (JobVerb.REPLAY, DEAD, "pending"),
        (JobVerb.DISCARD, DEAD, "discarded"),
        (JobVerb.REQUEUE, Filter(), "pending"),
    ],
)
def test_every_verb_has_jobs(verb: JobVerb, given: Filter, becomes: str) -> None:
    retry = verb is JobVerb.REQUEUE
    row = event(status=EventStatus.SCHEDULED, attempts=2) if retry else failed()
    work(started(verb, given))
    assert status(row) == becomes


def test_sent_events_are_replayed_if_that_is_asked_for() -> None:
    row = event(status=EventStatus.SENT)
    job_id = started(given=Filter(statuses=(EventStatus.SENT,)), duplicate_sent=True)
    assert work(job_id) is Outcome.DONE
    assert status(row) == "pending"


def test_a_job_never_leaves_its_tenants() -> None:
    ours, theirs = failed(tenant_id="acme"), failed(tenant_id="zeta")
    job_id = started(given=Filter(ids=(ours.pk, theirs.pk)), tenants=["acme"])
    work(job_id)
    assert (status(ours), status(theirs)) == ("pending", "failed")
    job_id = started(tenants=["acme"])
    assert job(job_id).tenants == ["acme"]
    work(job_id)
    assert status(theirs) == "failed"


def test_a_slice_ends_and_another_task_goes_on() -> None:
    for second in range(6):
        failed(second)
    job_id = started(rate=2)
    clock = Clock()
    assert work(job_id, seconds=1.5, clock=clock) is Outcome.MORE
    found = job(job_id)
    assert (found.state, found.done, found.lease_until) == ("running", 4, None)
    assert OrmQ.objects.count() == 1
    assert work(job_id, clock=clock) is Outcome.DONE
    assert job(job_id).done == 6


def test_a_job_keeps_to_its_rate() -> None:
    for second in range(20):
        failed(second)
    clock = Clock()
    began = clock.now
    work(started(rate=4), clock=clock)
    assert clock.now - began == pytest.approx((20 - 2) / 4, abs=0.6)
    assert max(clock.slept) <= 1


def test_the_rate_of_the_settings_holds_without_one(settings: Settings) -> None:
    settings.OUTBOX_JOB_RATE = 1
    for second in range(4):
        failed(second)
    clock = Clock()
    work(started(), clock=clock)
    assert len(clock.slept) == 3


def test_a_job_keeps_below_the_rate_of_a_tenant() -> None:
    TenantPolicy.objects.create(tenant_id="acme", rate=1)
    for second in range(5):
        failed(second)
    clock = Clock()
    began = clock.now
    work(started(), clock=clock)
    assert clock.now - began >= 4
    assert OperatorAction.objects.filter(verb="replay").count() == 5


def test_what_no_index_answers_is_searched_for_without_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "MOST_READ", 10)
    monkeypatch.setattr(bulk, "page", partial(listing.page, most=10))
    for second in range(30):
        event(second, topic="other")
    event(30, topic="rare")
    clock = Clock()
    began = clock.now
    job_id = started(JobVerb.DISCARD, Filter(statuses=(EventStatus.PENDING,), topic="rare"), rate=1_000)
    work(job_id, clock=clock)
    assert (job(job_id).done, job(job_id).looked_at) == (1, 31)
    assert clock.now - began == pytest.approx(3)


@pytest.mark.parametrize("action", [Action.PAUSE, Action.CANCEL])
def test_within_a_batch_nothing_more_is_changed(action: Action) -> None:
    for second in range(6):
        failed(second)
    clock, job_id = Clock(), started(rate=2)
    clock.at_sleep = lambda: desk.move(job_id, action, by=ANN, reason="wait")
    assert work(job_id, clock=clock) is Outcome.STOPPED
    found = job(job_id)
    assert (found.done, found.state) == (2, "paused" if action is Action.PAUSE else "cancelled")
    assert OutboxEvent.objects.filter(status="pending").count() == 2
    assert work(job_id) is Outcome.NOT_OURS


def test_a_slow_job_hears_of_a_cancel_while_it_rests() -> None:
    for second in range(3):
        failed(second)
    clock, job_id = Clock(), started(rate=0.1)

    def cancel_in_the_end() -> None:
        if len(clock.slept) == 3:
            desk.move(job_id, Action.CANCEL, by=ANN, reason="enough")

    clock.at_sleep = cancel_in_the_end
    assert work(job_id, clock=clock) is Outcome.STOPPED
    assert (job(job_id).done, clock.slept) == (1, [1.0] * 3)


def test_an_error_of_a_job_that_was_cancelled_meanwhile_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    failed()
    job_id = started()

    def cancel_and_break(*_: Any, **__: Any) -> None:
        desk.move(job_id, Action.CANCEL, by=ANN, reason="enough")
        raise OperationalError("gone")

    monkeypatch.setattr(working, "step", cancel_and_break)
    assert work(job_id) is Outcome.STOPPED
    assert (job(job_id).state, job(job_id).error) == ("cancelled", "")


def test_a_paused_job_goes_on_where_it_stopped() -> None:
    rows = [failed(second) for second in range(6)]
    clock, job_id = Clock(), started(rate=2)
    clock.at_sleep = lambda: desk.move(job_id, Action.PAUSE, by=ANN, reason="wait")
    work(job_id, clock=clock)
    desk.move(job_id, Action.RESUME, by=ANN, reason="go on")
    assert work(job_id) is Outcome.DONE
    assert replayed() == [row.pk for row in rows]
    verbs = OperatorAction.objects.exclude(verb="replay").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["job_started", "job_paused", "job_resumed", "job_finished"]


def test_a_pause_is_no_part_of_a_jobs_rate() -> None:
    for second in range(6):
        failed(second)
    clock, job_id = Clock(), started(rate=2)
    clock.at_sleep = lambda: desk.move(job_id, Action.PAUSE, by=ANN, reason="wait") if len(clock.slept) == 2 else None
    work(job_id, clock=clock)
    assert job(job_id).worked_seconds == 1
    clock.now += 3_600
    OutboxJob.objects.update(started_at=ClockTimestamp() - timedelta(hours=1))
    desk.move(job_id, Action.RESUME, by=ANN, reason="go on")
    work(job_id, clock=clock)
    found = job(job_id)
    assert (found.done, found.worked_seconds) == (6, 1)
    assert progress_of(found).rate == 6


def test_a_slice_that_ends_counts_its_last_rest() -> None:
    for second in range(6):
        failed(second)
    clock, job_id = Clock(), started(rate=2)
    assert work(job_id, seconds=1.5, clock=clock) is Outcome.MORE
    assert (job(job_id).done, job(job_id).worked_seconds) == (4, 2)


def test_of_two_workers_one_has_the_job() -> None:
    for second in range(4):
        failed(second)
    clock, job_id = Clock(), started(rate=2)
    others: list[Outcome] = []
    clock.at_sleep = lambda: others.append(work(job_id))
    assert work(job_id, clock=clock) is Outcome.DONE
    assert set(others) == {Outcome.NOT_OURS}


def test_a_worker_that_was_taken_for_dead_changes_nothing_more() -> None:
    rows = [failed(second) for second in range(6)]
    clock, job_id = Clock(), started(rate=2)

    def taken_over() -> None:
        clock.at_sleep = lambda: None
        OutboxJob.objects.update(lease_until=ClockTimestamp() - timedelta(seconds=1))
        assert work(job_id) is Outcome.DONE

    clock.at_sleep = taken_over
    assert work(job_id, clock=clock) is Outcome.STOPPED
    assert replayed() == [row.pk for row in rows]
    assert job(job_id).done == 6


def test_a_batch_and_its_progress_are_committed_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [failed(second) for second in range(6)]
    job_id, batches = started(), 0
    close = working._Slice.close

    def fail_at_the_second(self: Any, batch: Any) -> None:
        nonlocal batches
        batches += 1
        close(self, batch)
        if batches == 2:
            raise OperationalError("server closed the connection")

    monkeypatch.setattr(working._Slice, "close", fail_at_the_second)
    assert work(job_id) is Outcome.INTERRUPTED
    found = job(job_id)
    assert (found.done, found.failures, found.error) == (2, 1, "server closed the connection")
    assert found.lease_until
    assert [status(row) for row in rows] == ["pending"] * 2 + ["failed"] * 4
    OutboxJob.objects.update(lease_until=None)
    assert work(job_id) is Outcome.DONE
    assert replayed() == [row.pk for row in rows]
    assert (job(job_id).failures, job(job_id).error) == (0, "")


@pytest.mark.parametrize("step", ["_lock_lanes", "_execute", "_wake", "audit.record"])
def test_a_batch_that_breaks_at_any_step_loses_and_repeats_nothing(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    rows = [failed(second) for second in range(6)]
    job_id, times = started(), 0
    owner = audit if step == "audit.record" else bulk
    name = step.removeprefix("audit.")
    does = getattr(owner, name)

    def break_after_the_second(*given: Any, **how: Any) -> Any:
        nonlocal times
        times += 1
        done = does(*given, **how)
        if times == 2:
            raise OperationalError("server closed the connection")
        return done

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, break_after_the_second)
        assert work(job_id) is Outcome.INTERRUPTED
        OutboxJob.objects.update(lease_until=None)
        assert work(job_id) is Outcome.DONE
    assert replayed() == [row.pk for row in rows]
    assert job(job_id).done == 6


def test_a_job_that_fails_again_and_again_is_given_up_and_can_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    row, job_id = failed(), started()
    with monkeypatch.context() as patch:
        patch.setattr(bulk, "_execute", lambda *_: 1 / 0)
        for _ in range(MOST_FAILURES - 1):
            assert work(job_id) is Outcome.INTERRUPTED
            OutboxJob.objects.update(lease_until=None)
        assert work(job_id) is Outcome.FAILED
    found = job(job_id)
    assert (found.state, found.error) == (JobState.FAILED, "division by zero")
    assert OperatorAction.objects.latest("id").after == {"state": "failed", "error": "division by zero"}
    desk.move(job_id, Action.RESUME, by=ANN, reason="repaired")
    assert work(job_id) is Outcome.DONE
    assert status(row) == "pending"


def test_a_place_that_is_none_fails_the_job_at_once() -> None:
    failed()
    job_id = started()
    OutboxJob.objects.update(place="nowhere")
    assert work(job_id) is Outcome.FAILED
    assert "'nowhere' is no place" in job(job_id).error


def test_what_was_left_alone_is_counted() -> None:
    row, sent = failed(), event(status=EventStatus.SENT)
    job_id = started(given=Filter(ids=(row.pk, sent.pk)))
    work(job_id)
    assert (job(job_id).done, job(job_id).skipped) == (1, {"sent": 1})


def test_a_job_that_was_asked_for_before_there_were_events_is_about_none() -> None:
    job_id = started()
    row = failed()
    assert work(job_id) is Outcome.DONE
    assert (job(job_id).done, status(row)) == (0, "failed")
