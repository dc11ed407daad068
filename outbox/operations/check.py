"""What is wrong, part by part, each with the way out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from django.core import checks
from django.db import DatabaseError, connections

from outbox import conf
from outbox.errors import InvalidSetting
from outbox.operations import backlog
from outbox.operations.backlog import Backlog
from outbox.operations.checking import broker, database, work
from outbox.operations.checking.finding import Finding, Level, error, ok

__all__ = ["Finding", "Level", "check"]

logger = logging.getLogger(__name__)

LAG = timedelta(minutes=1)
FRESH = timedelta(seconds=10)
_HINTS = {
    "database": "is it up, and are its address and account right?",
    "broker": "is it up, and does OUTBOX_KAFKA_CONFIG lead to it?",
}


def check(*, lag: timedelta = LAG, using: str | None = None) -> Iterator[Finding]:
    """Looks at one part after the other; a part that cannot be looked at is an error, and no exception.

    `lag`: for how long an event of a tenant that is not paused may wait.
    """
    settings = list(_settings())
    yield from settings
    try:
        alias = using or conf.get().database
    except InvalidSetting:
        return
    usable = True
    for finding in _guarded("database", lambda: _database(alias)):
        usable = usable and finding.level is not Level.ERROR
        yield finding
    counted = None
    if usable:
        counted, complaints = _counted(alias)
        yield from complaints
    yield from _guarded("broker", lambda: broker.broker(alias, counted))
    if counted is not None:
        yield from _work(counted, lag, alias)


def _work(counted: Backlog, lag: timedelta, alias: str) -> Iterator[Finding]:
    yield from _guarded("relays", lambda: work.relays_alive(alias))
    yield from _guarded("lag", lambda: work.lag(counted, threshold=lag, alias=alias))
    yield from _guarded("dead letters", lambda: [work.dead_letters(counted)])
    yield from _guarded("jobs", lambda: work.jobs(alias))
    yield from _guarded("task queue", lambda: [work.task_queue()])


def _settings() -> Iterator[Finding]:
    """The system checks that concern us, and every other error."""
    messages = checks.run_checks()
    bad = [each for each in messages if each.level >= checks.ERROR and not each.is_silenced()]
    for each in bad:
        yield error("settings", f"{each.id}: {each.msg}", each.hint or "correct the setting")
    if not bad:
        yield ok("settings", "no system check complains")


def _database(alias: str) -> Iterator[Finding]:
    if alias not in connections.settings:
        known = ", ".join(connections.settings)
        yield error("database", f"{alias!r} is not among DATABASES", f"known are {known}")
        return
    yield from database.reach(alias)
    missing = database.missing_migrations(alias)
    if missing:
        names = ", ".join(missing)
        yield error("migrations", f"not applied: {names}", f"manage.py migrate --database={alias}")
        return
    yield ok("migrations", "all applied")
    yield database.rights(alias)


def _counted(alias: str) -> tuple[Backlog | None, list[Finding]]:
    try:
        return backlog.snapshot(refresh_if_older_than=FRESH, using=alias), []
    except backlog.CountFailed as failure:
        complaint = error("lag", str(failure), "look at the database's load")
        return backlog.snapshot(using=alias), [complaint]
    except DatabaseError as failure:
        return None, [error("lag", _one_line(failure), "look at the database's log")]


def _guarded(part: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The outermost catch: whatever happens while one part is looked at, the others are looked at too."""
    try:
        yield from look()
    except Exception as failure:
        logger.debug("The part %r could not be looked at.", part, exc_info=True)
        hint = _HINTS.get(part, "run it again with the logger outbox.operations at DEBUG")
        yield error(part, f"could not be looked at: {_one_line(failure)}", hint)


def _one_line(failure: BaseException) -> str:
    return " ".join(str(failure).split()) or type(failure).__name__
