"""A worker's part: it takes a job for a slice of time and goes through batches, each of which commits its progress.

A batch, its record and the job's new place are one transaction, which begins by comparing the job's token. So whatever
dies when, no event is changed twice or passed over, and of two workers that think they have a job one changes nothing.
"""

from __future__ import annotations

import enum
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from outbox import conf
from outbox.models import ActionSource, JobState, JobVerb, OutboxJob
from outbox.models.functions import ClockTimestamp
from outbox.operations.audit import Operator
from outbox.operations.bulk import BATCH, Batch, step
from outbox.operations.filters import InvalidFilter
from outbox.operations.jobs import desk
from outbox.operations.jobs.pace import Pace
from outbox.operations.jobs.queue import offer
from outbox.operations.jobs.room import Full, Room, Smaller
from outbox.operations.jobs.states import TRANSITIONS, Action
from outbox.operations.jobs.verbs import plan_of
from outbox.operations.metrics import CHANGED_BY_JOBS

logger = logging.getLogger(__name__)

MOST_FAILURES = 5
"""Slices in a row that may end with an error."""
MOST_READ = 20_000
"""Events looked at in a second, whatever the rate: what no index answers is searched for without haste."""
MOST_RESTED = 1.0
"""Seconds without a look at whether the job is still to be done."""
PATIENCE = 5.0
"""Seconds that a worker stays with a job that waits for room; then the job comes back later."""


class Outcome(enum.Enum):
    NOT_OURS = "Somebody else has it, or nobody is to."
    STOPPED = "It was paused, cancelled, or taken over."
    MORE = "There is more to do."
    WAITS = "It waits for room."
    DONE = "Done."
    FAILED = "Failed."
    INTERRUPTED = "An error interrupted it; it is tried again."


class _Stopped(Exception):
    """The job is not ours any more."""


def run_slice(
    job_id: int,
    *,
    seconds: float,
    using: str | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Outcome:
    """Work on the job for some seconds, if nobody else does; then another task goes on.

    After an error the job is taken up again once its lease is over, and fails after `MOST_FAILURES` in a row.
    """
    alias = using or conf.get().database
    job = _claim(job_id, alias)
    if job is None:
        return Outcome.NOT_OURS
    work = _Slice(job, alias, clock=clock, sleep=sleep)
    try:
        outcome = work.run(until=clock() + seconds)
    except _Stopped:
        return Outcome.STOPPED
    except Exception as error:
        # The outermost catch of a job. Its lease stays, so that for a while nobody tries again.
        logger.exception("Job %d was interrupted.", job_id)
        return work.interrupted(error)
    if outcome in (Outcome.MORE, Outcome.WAITS):
        work.give_back()
    if outcome is Outcome.MORE:
        offer(job_id, using=alias)
    return outcome


def _claim(job_id: int, alias: str) -> OutboxJob | None:
    jobs = OutboxJob.objects.using(alias).filter(pk=job_id)
    with transaction.atomic(using=alias):
        won = (
            jobs.free()
            .filter(state__in=TRANSITIONS[Action.CLAIM].sources)
            .update(
                state=TRANSITIONS[Action.CLAIM].target,
                token=F("token") + 1,
                lease_until=_lease(),
                started_at=Coalesce("started_at", ClockTimestamp()),
            )
        )
        return jobs.get() if won else None


def _lease() -> object:
    return ClockTimestamp() + timedelta(seconds=conf.get().job_lease_seconds)


class _Slice:
    """Is the ledger of its batches: opens each with the fence, and closes it with the progress."""

    def __init__(
        self, job: OutboxJob, alias: str, *, clock: Callable[[], float], sleep: Callable[[float], object]
    ) -> None:
        self._job = job
        self._alias = alias
        self._clock = clock
        self._sleep = sleep
        self._by = Operator(name=job.requested_by, source=ActionSource(job.source), address=job.address)
        self._pace = Pace(rate=job.rate or conf.get().job_rate, now=clock())
        # What is discarded fills no lane.
        self._room = None if job.verb == JobVerb.DISCARD else Room(moved_at=job.moved_at, using=alias)
        self._size = BATCH
        self._since = clock()

    def run(self, *, until: float) -> Outcome:
        patience: float | None = None
        while True:
            try:
                following = self._batch()
            except Full as full:
                patience = patience or self._clock() + PATIENCE
                self._update(waits_for=str(full), lease_until=_lease(), **self._worked())
                if self._clock() >= min(patience, until):
                    return Outcome.WAITS
                self._sleep(MOST_RESTED)
                self._since = self._clock()
                continue
            patience = None
            if following is None:
                return Outcome.DONE
            self._rest()
            if self._clock() >= until:
                return Outcome.MORE

    def open(self, tenants: Mapping[str, int]) -> None:
        self._update(lease_until=_lease())
        if self._room is not None:
            self._room.judge(tenants)

    def close(self, batch: Batch) -> None:
        job = self._job
        job.done += batch.changed
        job.looked_at += batch.looked_at
        job.skipped = dict(Counter(job.skipped) + Counter(batch.skipped))
        job.place = batch.next or job.place
        values = {"done": job.done, "looked_at": job.looked_at, "skipped": job.skipped, "place": job.place}
        self._update(**values, **self._worked(), moved_at=ClockTimestamp(), failures=0, error="", waits_for="")
        if batch.next is None:
            self._end(Action.FINISH, "job_finished")

    def interrupted(self, error: Exception) -> Outcome:
        """Raises `DatabaseError` when that cannot even be written down."""
        job = self._job
        job.failures += 1
        job.error = " ".join(str(error).split()) or type(error).__name__
        hopeless = isinstance(error, InvalidFilter) or job.failures >= MOST_FAILURES
        try:
            with transaction.atomic(using=self._alias):
                self._update(error=job.error, failures=job.failures)
                if hopeless:
                    self._end(Action.FAIL, "job_failed")
        except _Stopped:
            return Outcome.STOPPED
        return Outcome.FAILED if hopeless else Outcome.INTERRUPTED

    def give_back(self) -> None:
        try:
            self._update(lease_until=None, **self._worked())
        except _Stopped:
            return

    def _worked(self) -> dict[str, object]:
        """Resting for the rate's sake is work as well; waiting for room is not."""
        now = self._clock()
        self._job.worked_seconds += now - self._since
        self._since = now
        return {"worked_seconds": self._job.worked_seconds}

    def _batch(self) -> str | None:
        """Where to go on; None: that was the last one."""
        while True:
            size = min(self._size, self._pace.size)
            try:
                batch = self._step(size)
                break
            except Smaller as smaller:
                self._size = min(smaller.size, max(1, size - 1))
        self._size = min(BATCH, 2 * size)
        enough = self._room.added(batch.tenants) if self._room and batch.changed else 0.0
        self._pace.charge(batch.changed, now=self._clock(), at_least=max(enough, batch.looked_at / MOST_READ))
        CHANGED_BY_JOBS.labels(self._job.verb).inc(batch.changed)
        return batch.next

    def _step(self, size: int) -> Batch:
        job, before = self._job, self._snapshot()
        change, asked = plan_of(job)
        try:
            return step(
                change,
                asked,
                by=self._by,
                reason=job.reason,
                size=size,
                after=job.place or None,
                job=job.pk,
                ledger=self,
                using=self._alias,
            )
        except BaseException:
            # What was rolled back has not been.
            job.done, job.looked_at, job.skipped, job.place, job.worked_seconds, self._since = before
            raise

    def _rest(self) -> None:
        while (wait := self._pace.wait(now=self._clock())) > 0:
            self._sleep(min(wait, MOST_RESTED))
            if wait > MOST_RESTED:
                self._update(lease_until=_lease())

    def _end(self, action: Action, verb: str) -> None:
        target = TRANSITIONS[action].target
        self._update(state=target, lease_until=None, finished_at=ClockTimestamp())
        after = {"state": target.value, **({"error": self._job.error} if target is JobState.FAILED else {})}
        desk.record(self._job, verb, by=self._by, reason=self._job.reason, after=after)

    def _update(self, **values: object) -> None:
        """Only while the job is ours."""
        jobs = OutboxJob.objects.using(self._alias)
        if not jobs.filter(pk=self._job.pk, state=JobState.RUNNING, token=self._job.token).update(**values):
            raise _Stopped

    def _snapshot(self) -> tuple[int, int, dict[str, int], str, float, float]:
        job = self._job
        return job.done, job.looked_at, job.skipped, job.place, job.worked_seconds, self._since
