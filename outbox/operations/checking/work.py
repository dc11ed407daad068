"""Whether the work gets done: relays, lag, pauses, dead letters, the task queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from django.apps import apps

import outbox
from outbox.models import OutboxJob
from outbox.models.names import EVERY_TENANT
from outbox.operations.backlog import Backlog
from outbox.operations.checking.finding import Finding, error, ok, warning
from outbox.operations.pause import Pause, pauses
from outbox.operations.relays import RelayState, relays

STUCK_AFTER = timedelta(seconds=30)
MOST_NAMED = 10
OLD_COUNT = timedelta(minutes=1)


def relays_alive(alias: str) -> Iterator[Finding]:
    found = relays(using=alias)
    alive = [relay for relay in found if relay.alive]
    if not alive:
        yield error("relays", "none is alive", "start `manage.py qcluster` or `manage.py outbox relay`")
        return
    rate = sum(relay.rate for relay in alive)
    yield ok("relays", f"{len(alive)} alive, {rate:,.1f} events/s")
    for relay in found:
        if not relay.alive:
            where = f"{relay.host}, process {relay.pid}"
            silence = f"{relay.silent.total_seconds():.0f} s"
            yield warning("relays", f"the one on {where}, has been silent for {silence}", "look at its log")
    yield from _versions(alive)


def _versions(alive: Sequence[RelayState]) -> Iterator[Finding]:
    versions = sorted({relay.version for relay in alive})
    if versions != [outbox.__version__]:
        seen = ", ".join(versions)
        yield warning("relays", f"of version {seen}, here is {outbox.__version__}", "restart those that are older")


def lag(counted: Backlog, *, threshold: timedelta, alias: str) -> Iterator[Finding]:
    """Pauses, and how long the oldest events wait whose tenants are not paused."""
    held = pauses(using=alias)
    yield from map(_paused, held)
    if counted.taken_at is None or counted.age is None:
        yield warning("lag", "nothing has been counted yet", "relays count what waits: start one")
        return
    if counted.age > OLD_COUNT:
        age = f"{counted.age.total_seconds():.0f} s"
        yield warning("lag", f"what waits was last counted {age} ago", "look at the relays' log")
    names = {each.tenant_id for each in held}
    waiting = [] if EVERY_TENANT in names else [each for each in counted.tenants if each.tenant_id not in names]
    late = [
        (each.tenant_id, counted.taken_at - each.oldest_pending_at)
        for each in waiting
        if each.oldest_pending_at is not None and counted.taken_at - each.oldest_pending_at > threshold
    ]
    limit = f"{threshold.total_seconds():g} s"
    if not late:
        yield ok("lag", f"{counted.totals.pending:,} pending, none for longer than {limit} but of who is paused")
        return
    tenant_id, worst = max(late, key=lambda each: each[1])
    message = f"{len(late)} tenants have waited for more than {limit}, {tenant_id!r} for {worst.total_seconds():.0f} s"
    yield error("lag", message, f"see `outbox list --tenant {tenant_id} --status pending`, its policy, the broker")


def dead_letters(counted: Backlog) -> Finding:
    failed = counted.totals.failed
    if failed:
        hint = "see `outbox list --status failed`; then replay or discard them"
        return warning("dead letters", f"{failed:,} wait for somebody", hint)
    return ok("dead letters", "none")


def jobs(alias: str) -> Iterator[Finding]:
    """Those that nobody works on, and those that went wrong."""
    rows = OutboxJob.objects.using(alias)
    stuck = list(rows.stuck().order_by("pk").values_list("pk", flat=True)[:MOST_NAMED])
    if stuck:
        yield error("jobs", f"no worker looks for job {_listed(stuck)}", "is `qcluster` running?")
    for job_id, message in rows.failing().order_by("pk").values_list("pk", "error")[:MOST_NAMED]:
        hint = f"see `outbox jobs show {job_id}`; then resume or cancel it"
        yield warning("jobs", f"job {job_id} went wrong: {message}", hint)
    if not stuck:
        waiting = rows.waiting().count()
        yield ok("jobs", f"{waiting:,} to be done" if waiting else "none to be done")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)


def task_queue() -> Finding:
    if not apps.is_installed("django_q"):
        return ok("task queue", "django-q2 is not installed")
    from django_q.conf import Conf

    # Its models exist only where the app is installed.
    from outbox.operations.task_queue import longest_wait

    if not Conf.ORM:
        return ok("task queue", "is not in the database")
    wait = longest_wait()
    if wait is not None and wait > STUCK_AFTER:
        message = f"a task has waited for {wait.total_seconds():.0f} s"
        return error("task queue", message, "is `qcluster` running? If so, it is stuck: restart it")
    return ok("task queue", "moves" if wait else "is empty")


def _paused(pause: Pause) -> Finding:
    who = "everyone" if pause.of_everyone else f"tenant {pause.tenant_id!r}"
    until = "" if pause.until is None else f" until {pause.until.isoformat(timespec='seconds')}"
    tenant = "" if pause.of_everyone else f" --tenant {pause.tenant_id}"
    return warning("pauses", f"{who} is paused by {pause.by}{until}: {pause.reason}", f"`outbox resume{tenant}`")
