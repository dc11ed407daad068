"""What people do with jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, transaction

from outbox.models import EventStatus, JobVerb, OperatorAction, OutboxJob
from outbox.models.functions import ClockTimestamp
from outbox.operations import listing
from outbox.operations.audit import NoReason
from outbox.operations.filters import Filter, InvalidFilter
from outbox.operations.jobs import desk
from outbox.operations.jobs import preview as previewing
from outbox.operations.jobs.preview import preview
from outbox.operations.jobs.prune import prune_jobs
from outbox.operations.jobs.states import Action, ImpossibleTransition
from outbox.operations.jobs.verbs import InvalidJob
from tests.outbox.operations.jobs.scene import DEAD, job, started, work
from tests.outbox.operations.rows import ANN, event, failed

pytestmark = pytest.mark.django_db


def test_a_job_says_who_asked_for_what_and_why() -> None:
    row = failed()
    found = job(started(rate=5))
    assert (found.requested_by, found.source, found.address, found.reason) == (
        "ann",
        "admin",
        "192.0.2.1",
        "the topic is there",
    )
    assert found.filter == {"status": ["failed"], "up_to_id": row.pk}
    assert (found.rate, found.state, found.tenants) == (5, "queued", None)


@pytest.mark.parametrize("rate", [0, 0.01, -1, 1e7, float("nan")])
def test_a_rate_is_possible_or_refused(rate: float) -> None:
    with pytest.raises(InvalidJob, match="events per second"):
        started(rate=rate)


def test_a_job_that_makes_no_sense_is_refused_before_anything_is_written() -> None:
    with pytest.raises(InvalidFilter):
        started(given=Filter(statuses=(EventStatus.PENDING,)))
    with pytest.raises(InvalidJob, match="sent events"):
        started(JobVerb.DISCARD, duplicate_sent=True)
    with pytest.raises(NoReason):
        desk.start(verb=JobVerb.REPLAY, given=DEAD, by=ANN, reason=" ")
    with pytest.raises(InvalidJob, match="no such tenant"):
        started(given=Filter(tenant_id="zeta"), tenants=["acme"])
    assert not OutboxJob.objects.exists()
    assert not OperatorAction.objects.exists()


def test_a_job_of_one_tenant_is_that_tenants_whoever_asked() -> None:
    assert job(started(given=Filter(tenant_id="acme"))).tenants == ["acme"]
    assert job(started(given=Filter(tenant_id="acme"), tenants=["zeta", "acme"])).tenants == ["acme"]


def test_jobs_of_other_tenants_do_not_exist() -> None:
    ours, theirs, everyones = started(tenants=["acme"]), started(tenants=["acme", "zeta"]), started()
    assert desk.find(ours, tenants=["acme", "other"]).pk == ours
    for job_id in (theirs, everyones, 999_999_999):
        with pytest.raises(desk.NoSuchJob):
            desk.move(job_id, Action.CANCEL, by=ANN, reason="x", tenants=["acme"])


def test_what_is_over_cannot_be_moved() -> None:
    job_id = started()
    work(job_id)
    for action in (Action.PAUSE, Action.RESUME, Action.CANCEL):
        with pytest.raises(ImpossibleTransition, match="the job is done"):
            desk.move(job_id, action, by=ANN, reason="x")
    assert OperatorAction.objects.filter(verb__in=("job_paused", "job_resumed", "job_cancelled")).count() == 0


def test_moving_is_recorded_with_what_was_so() -> None:
    desk.move(started(), Action.CANCEL, by=ANN, reason="a mistake")
    action = OperatorAction.objects.latest("id")
    assert (action.verb, action.reason, action.before, action.after) == (
        "job_cancelled",
        "a mistake",
        {"state": "queued"},
        {"state": "cancelled"},
    )


@pytest.mark.parametrize(
    "values",
    [
        {"state": "lost"},
        {"verb": "eat"},
        {"rate": 0.001},
        {"state": "done"},
        {"finished_at": ClockTimestamp()},
        {"lease_until": ClockTimestamp()},
        {"done": -1},
    ],
)
def test_the_database_refuses_jobs_that_cannot_be(values: dict[str, object]) -> None:
    started()
    with pytest.raises(IntegrityError), transaction.atomic():
        OutboxJob.objects.update(**values)


def test_a_preview_counts_what_would_be_changed() -> None:
    failed(1), failed(2, tenant_id="zeta"), event(3)
    found = preview(JobVerb.REPLAY, DEAD)
    assert found is not None
    assert (found.events, found.more, found.tenants, found.statuses) == (2, False, 2, {"failed": 2})
    limited = preview(JobVerb.REPLAY, DEAD, tenants=["zeta"])
    assert limited is not None and limited.events == 1


def test_a_preview_stops_at_its_cap_and_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    for second in range(5):
        failed(second)
    monkeypatch.setattr(previewing, "CHUNK", 3)
    times = iter([0.0, 100.0])
    found = preview(JobVerb.REPLAY, DEAD, clock=lambda: next(times))
    assert found is not None and (found.events, found.more) == (2, True)
    monkeypatch.setattr(previewing, "MOST_PREVIEWED", 3)
    found = preview(JobVerb.REPLAY, DEAD)
    assert found is not None and (found.events, found.more) == (3, True)


def test_a_preview_that_cannot_be_made_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> None:
        raise OperationalError("canceling statement due to statement timeout")

    monkeypatch.setattr(previewing, "page", busy)
    assert preview(JobVerb.REPLAY, DEAD) is None


def test_a_preview_that_breaks_off_says_what_it_has_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for second in range(5):
        failed(second)
    monkeypatch.setattr(previewing, "CHUNK", 3)
    pages = iter([listing.page])

    def busy_at_the_second(*given: Any, **how: Any) -> Any:
        if (first := next(pages, None)) is None:
            raise OperationalError("canceling statement due to statement timeout")
        return first(*given, **how)

    monkeypatch.setattr(previewing, "page", busy_at_the_second)
    found = preview(JobVerb.REPLAY, DEAD)
    assert found is not None and (found.events, found.more) == (2, True)


def test_jobs_that_have_been_over_for_long_are_deleted() -> None:
    old, new, going = started(), started(), started()
    work(old), work(new)
    OutboxJob.objects.filter(pk=old).update(finished_at=ClockTimestamp() - timedelta(days=91))
    OutboxJob.objects.filter(pk=going).update(created_at=ClockTimestamp() - timedelta(days=91))
    assert prune_jobs() == 1
    assert set(OutboxJob.objects.values_list("pk", flat=True)) == {new, going}


def test_jobs_are_kept_if_that_is_set(settings: object) -> None:
    work(started())
    OutboxJob.objects.update(finished_at=ClockTimestamp() - timedelta(days=9_999))
    settings.OUTBOX_JOB_RETENTION_DAYS = None  # type: ignore[attr-defined]
    assert prune_jobs() == 0
