"""What a job can do, and with which right."""

from __future__ import annotations

from outbox.errors import OutboxError
from outbox.models import JobVerb, OutboxJob
from outbox.operations import discard, replay, requeue
from outbox.operations.bulk import Change
from outbox.operations.filters import Filter

PERMISSIONS = {verb: f"outbox.{verb.value}_outboxevent" for verb in JobVerb}
DONE = {JobVerb.REPLAY: "replayed", JobVerb.DISCARD: "discarded", JobVerb.REQUEUE: "requeued"}


class InvalidJob(OutboxError):
    """A job cannot be started like this."""


def plan(verb: JobVerb, given: Filter, *, duplicate_sent: bool = False) -> tuple[Change, Filter]:
    """What is done to which events. Raises `InvalidFilter`, and `InvalidJob`."""
    if duplicate_sent and verb is not JobVerb.REPLAY:
        raise InvalidJob(f"duplicate_sent: sent events can be replayed, not {DONE[verb]}")
    if verb is JobVerb.REPLAY:
        return replay.plan(given, duplicate_sent=duplicate_sent)
    return discard.plan(given) if verb is JobVerb.DISCARD else requeue.plan(given)


def plan_of(job: OutboxJob) -> tuple[Change, Filter]:
    """What this job does to which events, within its tenants."""
    given = Filter.from_json(job.filter)
    change, asked = plan(JobVerb(job.verb), given, duplicate_sent=job.duplicate_sent)
    return change, asked.narrowed(tenants=None if job.tenants is None else tuple(job.tenants))
