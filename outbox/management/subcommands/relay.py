"""`manage.py outbox relay`: one relay in the foreground, without django-q2."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.db.models.functions import Now

from circuits.terminal import values
from circuits.terminal.verbs import Verb
from outbox import conf
from outbox.management.stop_signals import StopSignals
from outbox.models import EventStatus, OutboxEvent
from outbox.pending import get_pending_events
from outbox.relay.supervisor import RelayThread, Summary, Supervisor, drain_seconds

POLL_SECONDS = 0.1


class Relay(Verb):
    help = (
        "Publishes until SIGTERM or SIGINT, then drains, prints one line of JSON and exits with 0. "
        "A second signal ends it at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--until-empty",
            action="store_true",
            help="end when nothing is left to publish: with 0 if all that was due is published, else with 1",
        )
        parser.add_argument(
            "--patience",
            type=values.seconds,
            default=20.0,
            metavar="SECONDS",
            help="with --until-empty: give up after so long without any progress, as without a broker (default: 20)",
        )

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        until_empty, patience = options["until_empty"], options["patience"]
        thread = RelayThread(Supervisor(), until_empty=until_empty)
        gave_up = _run(thread, patience=patience if until_empty else None)
        summary = thread.supervisor.summary()
        command.stdout.write(_json(summary))
        if until_empty:
            reasons = [f"nothing moved for {patience:g} s"] if gave_up else []
            reasons += _left(thread.supervisor, summary)
            if reasons:
                raise CommandError(f"Not everything is published: {'; '.join(reasons)}.")


def _run(thread: RelayThread, *, patience: float | None) -> bool:
    """Until the relay has ended. Whether that was for lack of progress."""
    progress, gave_up, deadline = _Progress(), False, None
    with StopSignals() as signals:
        thread.start()
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if deadline is None:
                gave_up = patience is not None and progress.rests(thread.supervisor.summary()) > patience
                if signals.count or gave_up:
                    thread.supervisor.stop()
                    deadline = time.monotonic() + drain_seconds()
            elif signals.count > 1:
                signals.obey()
            elif time.monotonic() > deadline:
                raise CommandError("The relay did not drain in time; what it had under way will be delivered again.")
    return gave_up


class _Progress:
    def __init__(self) -> None:
        self._done: tuple[int, int] | None = None
        self._since = time.monotonic()

    def rests(self, summary: Summary) -> float:
        """Seconds since an event was last published or failed."""
        done = (summary.published, summary.failed_attempts)
        if done != self._done:
            self._done, self._since = done, time.monotonic()
        return time.monotonic() - self._since


def _json(summary: Summary) -> str:
    return json.dumps(
        {
            "published": summary.published,
            "failed_attempts": summary.failed_attempts,
            "dead_letters": summary.dead_letters,
            "seconds": round(summary.seconds, 3),
            "rate": round(summary.rate, 1),
        }
    )


def _left(supervisor: Supervisor, summary: Summary) -> Iterator[str]:
    """Why not all that was due when the command began has been published."""
    if supervisor.error is not None:
        yield supervisor.error
        return
    if summary.dead_letters:
        yield f"{summary.dead_letters} events became dead letters"
    try:
        yield from _waiting(timedelta(seconds=summary.seconds))
    except DatabaseError as error:
        yield " ".join(str(error).split())


def _waiting(run: timedelta) -> Iterator[str]:
    alias = conf.get().database
    events = OutboxEvent.objects.using(alias)
    for oldest in get_pending_events(limit=1, using=alias):
        if events.filter(pk=oldest.event_id, created_at__lt=Now() - run).exists():
            yield f"events of tenant {oldest.tenant_id!r} are due: is it paused or limited?"
    if events.filter(status=EventStatus.SCHEDULED, attempts__gt=0).exists():
        yield "failed events wait for their next attempt"
