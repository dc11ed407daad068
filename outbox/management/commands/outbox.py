"""`manage.py outbox <verb>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError

from circuits.terminal.people import NOTHING_DONE, USAGE
from circuits.terminal.verbs import Verb, VerbCommand, in_one_line, is_not_migrated
from outbox import conf
from outbox.errors import InvalidSetting, OutboxError
from outbox.management.subcommands.check import Check
from outbox.management.subcommands.discard import Discard
from outbox.management.subcommands.jobs import Jobs
from outbox.management.subcommands.list import List
from outbox.management.subcommands.pause import Pause
from outbox.management.subcommands.prune import Prune
from outbox.management.subcommands.relay import Relay
from outbox.management.subcommands.replay import Replay
from outbox.management.subcommands.requeue import Requeue
from outbox.management.subcommands.resume import Resume
from outbox.management.subcommands.show import Show
from outbox.management.subcommands.stats import Stats
from outbox.management.subcommands.tail import Tail
from outbox.operations.audit import NoReason
from outbox.operations.filters import InvalidFilter
from outbox.operations.jobs.verbs import InvalidJob
from outbox.operations.pause import InvalidPause

_USAGE = (InvalidFilter, InvalidJob, InvalidPause, NoReason)


class Command(VerbCommand):
    help = "Operates the outbox."
    errors = OutboxError
    verbs: ClassVar[Mapping[str, Verb]] = {
        "relay": Relay(),
        "list": List(),
        "show": Show(),
        "replay": Replay(),
        "discard": Discard(),
        "requeue": Requeue(),
        "jobs": Jobs(),
        "pause": Pause(),
        "resume": Resume(),
        "stats": Stats(),
        "check": Check(),
        "tail": Tail(),
        "prune": Prune(),
    }

    def refused(self, error: Exception) -> CommandError:
        return CommandError(_sentence(error), returncode=USAGE if isinstance(error, _USAGE) else NOTHING_DONE)

    def database_failed(self, error: Exception, options: Mapping[str, Any]) -> CommandError:
        return CommandError(_what_the_database_said(error, options), returncode=NOTHING_DONE)


def _what_the_database_said(error: Exception, options: Mapping[str, Any]) -> str:
    said = in_one_line(error)
    try:
        alias = options.get("database") or conf.get().database
    except InvalidSetting:
        return said
    if isinstance(error, ProgrammingError) and is_not_migrated(error):
        return f"The database {alias!r} is not migrated: run manage.py migrate --database={alias}. ({said})"
    if isinstance(error, OperationalError | InterfaceError):
        return f"The database {alias!r} did not answer: {said}"
    raise error


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")
