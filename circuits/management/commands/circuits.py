"""`manage.py circuits <verb>`."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from circuits.errors import CircuitError, NoSuchCircuit, StoreUnavailable
from circuits.management.people import NOTHING_DONE, USAGE
from circuits.management.subcommands.base import Subcommand
from circuits.management.subcommands.forcing import Automatic, ForceClosed, ForceOpen, Reset
from circuits.management.subcommands.list import List
from circuits.management.subcommands.set import Set
from circuits.management.subcommands.show import Show
from circuits.process import process

SUBCOMMANDS: dict[str, Subcommand] = {
    "list": List(),
    "show": Show(),
    "force-open": ForceOpen(),
    "force-closed": ForceClosed(),
    "auto": Automatic(),
    "reset": Reset(),
    "set": Set(),
}
INTERRUPTED = 130
_NOT_MIGRATED = ("42P01", "42703", "42883")
"""SQLSTATEs of a table, a column or a function that does not exist."""


class Command(BaseCommand):
    help = "Looks at circuits, and takes them into one's own hands."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", metavar="verb", required=True)
        for name, subcommand in SUBCOMMANDS.items():
            verb = verbs.add_parser(name, help=subcommand.help, description=subcommand.help)
            subcommand.add_arguments(verb)

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            SUBCOMMANDS[verb].handle(self, options)
        except CircuitError as error:
            raise CommandError(_sentence(error), returncode=_code(error)) from error
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(_what_the_database_said(error), returncode=NOTHING_DONE) from error
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read the output has seen enough, and the interpreter's own flush at the end must not complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        finally:
            process.close()


def _code(error: CircuitError) -> int:
    return NOTHING_DONE if isinstance(error, NoSuchCircuit | StoreUnavailable) else USAGE


def _sentence(error: CircuitError) -> str:
    cause = f" ({_in_one_line(error.__cause__)})" if error.__cause__ and isinstance(error, StoreUnavailable) else ""
    return f"{error}{cause}"


def _what_the_database_said(error: Exception) -> str:
    said = _in_one_line(error)
    if getattr(error.__cause__, "sqlstate", None) in _NOT_MIGRATED:
        return f"The database is not migrated: run manage.py migrate. ({said})"
    return f"The database did not answer: {said}"


def _in_one_line(error: object) -> str:
    return " ".join(str(error).split())
