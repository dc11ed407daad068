"""`manage.py outbox <verb>`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError

from outbox import conf
from outbox.errors import InvalidSetting, OutboxError
from outbox.management.people import NOTHING_DONE, USAGE
from outbox.management.subcommands.base import Subcommand
from outbox.management.subcommands.check import Check
from outbox.management.subcommands.discard import Discard
from outbox.management.subcommands.list import List
from outbox.management.subcommands.pause import Pause
from outbox.management.subcommands.prune import Prune
from outbox.management.subcommands.relay import Relay
from outbox.management.subcommands.replay import Replay
from outbox.management.subcommands.resume import Resume
from outbox.management.subcommands.show import Show
from outbox.management.subcommands.stats import Stats
from outbox.management.subcommands.tail import Tail
from outbox.operations.audit import NoReason
from outbox.operations.filters import InvalidFilter
from outbox.operations.pause import InvalidPause

SUBCOMMANDS: dict[str, Subcommand] = {
    "relay": Relay(),
    "list": List(),
    "show": Show(),
    "replay": Replay(),
    "discard": Discard(),
    "pause": Pause(),
    "resume": Resume(),
    "stats": Stats(),
    "check": Check(),
    "tail": Tail(),
    "prune": Prune(),
}
INTERRUPTED = 130
_USAGE = (InvalidFilter, InvalidPause, NoReason)
_SCHEMA = ("42P01", "42703", "42883")
"""SQLSTATEs of a table, a column or a function that does not exist."""


class Command(BaseCommand):
    help = "Operates the outbox."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", metavar="verb", required=True)
        for name, subcommand in SUBCOMMANDS.items():
            verb = verbs.add_parser(name, help=subcommand.help, description=subcommand.help)
            subcommand.add_arguments(verb)

    def execute(self, *args: Any, **options: Any) -> Any:
        if not SUBCOMMANDS[options["verb"]].needs_valid_settings:
            options["skip_checks"] = True
        return super().execute(*args, **options)

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            SUBCOMMANDS[verb].handle(self, options)
        except OutboxError as error:
            raise CommandError(_sentence(error), returncode=USAGE if isinstance(error, _USAGE) else 1) from error
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(_what_the_database_said(error, options), returncode=NOTHING_DONE) from error
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read the output has seen enough, and the interpreter's own flush at the end must not complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _what_the_database_said(error: Exception, options: Mapping[str, Any]) -> str:
    said = " ".join(str(error).split())
    try:
        alias = options.get("database") or conf.get().database
    except InvalidSetting:
        return said
    if isinstance(error, ProgrammingError) and getattr(error.__cause__, "sqlstate", None) in _SCHEMA:
        return f"The database {alias!r} is not migrated: run manage.py migrate --database={alias}. ({said})"
    if isinstance(error, OperationalError | InterfaceError):
        return f"The database {alias!r} did not answer: {said}"
    raise error


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")
