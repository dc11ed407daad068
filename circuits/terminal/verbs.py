"""A command of many verbs: `manage.py <command> <verb> ...`."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, InterfaceError

from circuits.terminal.people import USAGE

INTERRUPTED = 130
_SCHEMA = ("42P01", "42703", "42883")
"""SQLSTATEs of a table, a column or a function that does not exist."""


class Verb(ABC):
    help: ClassVar[str]
    needs_valid_settings: ClassVar[bool] = True
    """Whether Django's system checks run first."""

    @abstractmethod
    def add_arguments(self, parser: CommandParser) -> None:
        """Add what the verb understands."""

    @abstractmethod
    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        """Do it; raises `CommandError` or the app's own error with a message for people when that fails."""


class VerbCommand(BaseCommand, ABC):
    """Never a traceback for what people can mend."""

    verbs: ClassVar[Mapping[str, Verb]]
    errors: ClassVar[type[Exception]]
    """The base of the app's own errors."""

    def add_arguments(self, parser: CommandParser) -> None:
        parsers = parser.add_subparsers(dest="verb", metavar="verb", required=True)
        for name, verb in self.verbs.items():
            verb.add_arguments(parsers.add_parser(name, help=verb.help, description=verb.help))

    def execute(self, *args: Any, **options: Any) -> Any:
        if not self.verbs[options["verb"]].needs_valid_settings:
            options["skip_checks"] = True
        return super().execute(*args, **options)

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        _refuse_what_is_no_text(options)
        try:
            self.verbs[verb].handle(self, options)
        except self.errors as error:
            raise self.refused(error) from error
        except (Error, InterfaceError) as error:
            raise self.database_failed(error, options) from error
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read the output has seen enough, and the interpreter's own flush at the end must not complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    @abstractmethod
    def refused(self, error: Exception) -> CommandError:
        """What to say of an error of the app's own."""

    @abstractmethod
    def database_failed(self, error: Exception, options: Mapping[str, Any]) -> CommandError:
        """What to say of an error of the database's."""


def _refuse_what_is_no_text(options: Mapping[str, Any]) -> None:
    """Python takes bytes that are not of the terminal's encoding for halves of characters, which no database keeps."""
    for name, value in options.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and (shown := _unlike_text(text)):
                raise CommandError(f"{name}='{shown}' is no UTF-8: type it again in that encoding.", returncode=USAGE)


def _unlike_text(text: str) -> str | None:
    """The text with what is no text written out; None if all of it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return None


def is_not_migrated(error: Exception) -> bool:
    """Whether the database's error is about something that a migration would have made."""
    return getattr(error.__cause__, "sqlstate", None) in _SCHEMA


def in_one_line(error: object) -> str:
    return " ".join(str(error).split())
