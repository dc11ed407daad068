"""A job that makes events pending leaves room for the application's own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from outbox.models import BacklogCount, JobVerb, TenantBacklog, TenantPolicy
from outbox.models.functions import ClockTimestamp
from outbox.operations.jobs.progress import progress_of
from outbox.operations.jobs.work import Outcome
from tests.outbox.operations.jobs.scene import Clock, job, started, work
from tests.outbox.operations.rows import failed

pytestmark = pytest.mark.django_db


def counted(pending: int) -> None:
    """A count that began just now found so many, and nobody counts again for an hour."""
    now = ClockTimestamp()
    later = timezone.now() + timedelta(hours=1)
    BacklogCount.objects.update_or_create(
        pk=1, defaults={"taken_at": now, "next_at": later, "pending": pending, "token": 1}
    )
    TenantBacklog.objects.update_or_create(tenant_id="acme", defaults={"pending": pending, "taken_at": now})


@pytest.fixture
def limited() -> None:
    TenantPolicy.objects.create(tenant_id="acme", backlog_limit=20)
    for second in range(30):
        failed(second)


@pytest.mark.usefixtures("limited")
def test_half_of_a_backlog_limit_is_filled_and_then_the_job_waits() -> None:
    counted(4)
    job_id = started()
    assert work(job_id) is Outcome.WAITS
    found = job(job_id)
    assert (found.done, found.state, found.lease_until) == (6, "running", None)
    assert found.waits_for == "tenant acme has 10 pending events and a backlog_limit of 20"


@pytest.mark.usefixtures("limited")
def test_waiting_for_room_is_no_part_of_its_rate() -> None:
    counted(4)
    clock, job_id = Clock(), started(rate=2, expected=30)
    assert work(job_id, clock=clock) is Outcome.WAITS
    found = job(job_id)
    # Two a second, and five seconds of patience.
    assert (found.done, found.worked_seconds, sum(clock.slept)) == (6, 3, 8)
    assert (progress_of(found).rate, progress_of(found).left) == (2, None)


@pytest.mark.usefixtures("limited")
def test_it_goes_on_when_there_is_room_again() -> None:
    counted(4)
    clock, job_id = Clock(), started()

    def drained() -> None:
        counted(0)
        clock.at_sleep = lambda: None

    clock.at_sleep = drained
    assert work(job_id, clock=clock) is Outcome.WAITS
    # What was added before the count may be in it or not: the job stays on the safe side.
    assert job(job_id).done == 10


@pytest.mark.usefixtures("limited")
def test_the_next_slice_trusts_no_count_from_before_the_last_batch() -> None:
    counted(4)
    job_id = started()
    work(job_id)
    BacklogCount.objects.update(taken_at=F("taken_at"))
    assert work(job_id) is Outcome.WAITS
    assert job(job_id).done == 6
    assert "has not been counted since" in job(job_id).waits_for
    counted(0)
    work(job_id)
    assert job(job_id).done == 16


@pytest.mark.usefixtures("limited")
def test_what_is_discarded_needs_no_room() -> None:
    counted(100)
    assert work(started(JobVerb.DISCARD)) is Outcome.DONE
