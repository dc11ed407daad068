"""`manage.py outbox check`: what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits.terminal import output, values
from circuits.terminal.people import NOTHING_DONE
from circuits.terminal.verbs import Verb
from outbox.management import arguments
from outbox.operations.check import LAG, Finding, Level, check

_STYLES = {Level.OK: "SUCCESS", Level.WARNING: "WARNING", Level.ERROR: "ERROR"}


class Check(Verb):
    help = (
        "Looks at settings, database, broker, topics, relays, lag, dead letters and task queue, and says what is wrong "
        "with each and what to do. Warnings alone end with 0."
    )
    needs_valid_settings = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--lag",
            type=values.duration,
            default=LAG,
            metavar="AGE",
            help="for how long an event may wait whose tenant is not paused (default: 1m)",
        )
        arguments.add_output(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        errors = 0
        for finding in check(lag=options["lag"], using=options["database"]):
            errors += finding.level is Level.ERROR
            if options["json"]:
                output.write_json(command.stdout, _record(finding))
            else:
                _write(command, finding)
            command.stdout.flush()
        if errors:
            raise CommandError(
                f"{errors} {'thing is' if errors == 1 else 'things are'} wrong.", returncode=NOTHING_DONE
            )


def _record(finding: Finding) -> dict[str, str]:
    return {
        "part": finding.part,
        "level": finding.level.value,
        "message": finding.message,
        "hint": finding.hint,
    }


def _write(command: BaseCommand, finding: Finding) -> None:
    style = getattr(command.style, _STYLES[finding.level])
    level = style(f"{finding.level.value:<9}")
    command.stdout.write(f"{level}{finding.part:<14}{output.plain(finding.message)}")
    if finding.hint:
        command.stdout.write(f"{'':<23}{output.plain(finding.hint)}")
