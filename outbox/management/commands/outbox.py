"""`manage.py outbox <verb>`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from outbox.management.subcommands.base import Subcommand
from outbox.management.subcommands.relay import Relay

SUBCOMMANDS: dict[str, Subcommand] = {"relay": Relay()}


class Command(BaseCommand):
    help = "Operates the outbox."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", metavar="verb", required=True)
        for name, subcommand in SUBCOMMANDS.items():
            verb = verbs.add_parser(name, help=subcommand.help, description=subcommand.help)
            subcommand.add_arguments(verb)

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        SUBCOMMANDS[verb].handle(self, options)
