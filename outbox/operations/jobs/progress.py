"""How far a job is, and what it is about, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from outbox.models import JobState, OutboxJob
from outbox.models.job import WAITING
from outbox.operations.filters import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    handled: int
    """Events changed or left alone."""
    total: int | None
    """None where more matched than were counted, or none were."""
    rate: float | None
    """Events changed per second, on average while workers were at it."""
    left: timedelta | None
    """At that rate; None while it stands still."""

    @property
    def percent(self) -> int | None:
        """Of what was counted before; all of it only once the job is done."""
        return None if self.total is None else min(99, 100 * self.handled // max(1, self.total))


def progress_of(job: OutboxJob) -> JobProgress:
    handled = job.done + sum(job.skipped.values())
    total = handled if job.state == JobState.DONE else None if job.preview_more else job.preview
    rate = job.done / job.worked_seconds if job.worked_seconds > 0 and job.done else None
    left = None
    if total is not None and rate and job.state in WAITING and not job.waits_for:
        left = timedelta(seconds=max(0, total - handled) / rate)
    return JobProgress(handled=handled, total=total, rate=rate, left=left)


def words_of(job: OutboxJob) -> str:
    """What the job is about: failed events of tenant acme for topic orders."""
    asked, tenants = asked_by(job)
    return words(asked, tenants=tenants)


def asked_by(job: OutboxJob) -> tuple[Filter, int | None]:
    """Its filter, and to how many tenants it is limited, if it names none."""
    asked = Filter.from_json(job.filter)
    return asked, None if job.tenants is None or asked.tenant_id is not None else len(job.tenants)


def words(asked: Filter, *, tenants: int | None = None) -> str:
    """The filter as people say it. `tenants`: how many it is limited to."""
    return " ".join(parts(asked, tenants=tenants, say=lambda at: f"{at:%Y-%m-%d %H:%M:%S %Z}"))


def parts(asked: Filter, *, tenants: int | None, say: Callable[[datetime], str]) -> Iterator[str]:
    """The words one by one, for whoever writes times in another way."""
    if asked.ids:
        yield f"{len(asked.ids):,} event{'' if len(asked.ids) == 1 else 's'} named by number"
    elif asked.dedupe_key is not None:
        yield f"the event with dedupe key {asked.dedupe_key}"
    else:
        yield f"{' and '.join(status.value for status in asked.statuses) or 'all'} events"
    if asked.tenant_id is not None:
        yield f"of tenant {asked.tenant_id}"
    elif tenants is not None:
        yield f"of {tenants:,} tenant{'' if tenants == 1 else 's'}"
    if asked.partition_key is not None:
        yield f"with partition key {asked.partition_key}"
    if asked.topic is not None:
        yield f"for topic {asked.topic}"
    if asked.error_class is not None:
        yield f"that failed with {asked.error_class}"
    if asked.created_before is not None:
        yield "created before"
        yield say(asked.created_before)
    if asked.up_to_id is not None:
        yield f"up to number {asked.up_to_id}"
