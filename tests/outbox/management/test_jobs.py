"""`outbox jobs`, and verbs that start one."""

from __future__ import annotations

import pytest

from outbox.models import EventStatus, JobVerb, OutboxJob
from outbox.models.functions import ClockTimestamp
from tests.outbox.management.said import OK, USAGE, WRONG, Said
from tests.outbox.operations.jobs.scene import job, started, work
from tests.outbox.operations.rows import event, failed, status

pytestmark = pytest.mark.django_db

CONSENT = ("--reason", "the topic is there", "--yes")


@pytest.mark.parametrize("verb", JobVerb)
def test_every_verb_starts_a_job(verb: JobVerb) -> None:
    row = event(status=EventStatus.SCHEDULED, attempts=1) if verb is JobVerb.REQUEUE else failed()
    said = Said(verb.value, "--tenant", "acme", "--job", "--rate", "50", *CONSENT)
    found = OutboxJob.objects.get()
    assert said.code == OK
    assert said.out == f"Job {found.pk} has started; see `outbox jobs show {found.pk}`.\n"
    assert (found.verb, found.rate, found.preview, found.tenants) == (verb, 50, 1, ["acme"])
    assert "@" in found.requested_by
    assert status(row) in ("failed", "scheduled")


def test_sent_events_are_replayed_by_a_job_too() -> None:
    row = event(status=EventStatus.SENT)
    said = Said("replay", "--status", "sent", "--job", "--json", *CONSENT)
    work(said.lines[0]["job"])
    assert status(row) == "pending"


@pytest.mark.parametrize(
    "words",
    [("--job", "--limit", "3"), ("--job", "--after", "acme/1/1"), ("--rate", "5"), ("--job", "--rate", "-1")],
)
def test_what_a_job_does_not_have_is_refused(words: tuple[str, ...]) -> None:
    failed()
    assert Said("replay", "--all", *words, *CONSENT).code == USAGE
    assert not OutboxJob.objects.exists()


def test_requeue_makes_retries_due_at_once() -> None:
    row = event(status=EventStatus.SCHEDULED, attempts=1)
    assert "Would requeue 1 event of 1 tenant" in Said("requeue", "--all", "--dry-run").out
    assert Said("requeue", "--all", *CONSENT).out == "Requeued 1 events.\n"
    assert status(row) == "pending"
    assert Said("requeue", "--all", *CONSENT).code == WRONG
    assert Said("requeue", "--status", "failed", *CONSENT).code == USAGE


def test_jobs_are_listed_the_latest_first() -> None:
    first, second = started(expected=10), started(JobVerb.DISCARD)
    work(second)
    head, *rows = Said("jobs").out.splitlines()
    assert head.split()[:4] == ["JOB", "VERB", "STATE", "DONE"]
    assert [row.split()[:3] for row in rows] == [[str(second), "discard", "done"], [str(first), "replay", "queued"]]
    assert [line["job"] for line in Said("jobs", "list", "--state", "queued", "--json").lines] == [first]
    assert "no such job" in Said("jobs", "--state", "failed").err


def test_a_job_is_shown() -> None:
    failed()
    job_id = started()
    work(job_id)
    said = Said("jobs", "show", str(job_id)).out
    assert "events         failed events up to number" in said
    assert "reason         the topic is there" in said
    (record,) = Said("jobs", "show", str(job_id), "--json").lines
    assert (record["state"], record["done"], record["skipped"]) == ("done", 1, {})
    assert Said("jobs", "show", "999999999").code == WRONG


@pytest.mark.parametrize(("action", "becomes"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_job_is_paused_and_cancelled(action: str, becomes: str) -> None:
    job_id = started()
    assert Said("jobs", action, str(job_id), "--yes").code == USAGE
    assert Said("jobs", action, str(job_id), "--reason", "wait").code == USAGE
    assert job(job_id).state == "queued"
    assert Said("jobs", action, str(job_id), "--reason", "wait", "--yes").out == f"Job {job_id} is {becomes}.\n"
    assert job(job_id).state == becomes


def test_a_paused_job_is_resumed_and_one_that_is_over_is_not() -> None:
    job_id = started()
    Said("jobs", "pause", str(job_id), "--reason", "wait", "--yes")
    (record,) = Said("jobs", "resume", str(job_id), "--reason", "go", "--yes", "--json").lines
    assert record["state"] == "queued"
    work(job_id)
    said = Said("jobs", "cancel", str(job_id), "--reason", "late", "--yes")
    assert (said.code, said.complaint.startswith("Nothing was changed: the job is done")) == (WRONG, True)


@pytest.mark.parametrize("words", [("show",), ("list", "3"), ("pause", "--reason", "x")])
def test_one_job_is_named_or_none(words: tuple[str, ...]) -> None:
    assert Said("jobs", *words).code == USAGE


def test_what_holds_a_job_up_is_shown() -> None:
    job_id = started()
    OutboxJob.objects.update(waits_for="tenant acme is full", error="gone", started_at=ClockTimestamp(), done=3)
    said = Said("jobs", "show", str(job_id)).out
    assert "waits_for      tenant acme is full" in said
    assert "error          gone" in said
