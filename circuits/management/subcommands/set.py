"""`manage.py circuits set`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits.management import records
from circuits.management.arguments import COMMAND, add_change, add_circuit
from circuits.operations import listing, steering, thresholds
from circuits.policy import BOUNDS, MODE_HELP, THRESHOLDS, WHOLE_NUMBERS, Mode
from circuits.terminal import output
from circuits.terminal.people import USAGE, account, ask
from circuits.terminal.verbs import Verb

DEFAULT = "default"


class Set(Verb):
    help = (
        "Sets thresholds of one circuit; running processes follow within a second. `default` goes back to the default."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_circuit(parser)
        for name in THRESHOLDS:
            text = MODE_HELP if name == "mode" else BOUNDS[name].help
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=_reader(name), default=_UNSAID, metavar="VALUE", help=text)
        add_change(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        said = {name: options[name] for name in THRESHOLDS if options[name] is not _UNSAID}
        if not said:
            raise CommandError("Say which threshold to set, such as --failure-threshold 10.", returncode=USAGE)
        changes = {name: None if value == DEFAULT else value for name, value in said.items()}
        reason = steering.checked_reason(options["reason"])
        thresholds.check(tenant_id=options["tenant"], name=options["name"], changes=changes)
        told = ", ".join(f"{name} {value}" for name, value in said.items())
        circuit = f"circuit {options['name']!r} of tenant {options['tenant']!r}"
        ask(command, f"Set {told} for {circuit}?", options)
        thresholds.configure(
            tenant_id=options["tenant"],
            name=options["name"],
            by=account(),
            reason=reason,
            changes=changes,
            origin=COMMAND,
        )
        if options["json"]:
            row = listing.show(tenant_id=options["tenant"], name=options["name"])
            output.write_json(command.stdout, records.as_record(row))
        else:
            command.stdout.write(f"Set {told} for {circuit}.")


class _Unsaid:
    """An option that was not given; None would be a value."""

    def __repr__(self) -> str:
        return "unchanged"


_UNSAID = _Unsaid()


def _reader(name: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if text == DEFAULT:
            return DEFAULT
        if name == "mode":
            return _mode(text)
        try:
            return int(text) if name in WHOLE_NUMBERS else float(text)
        except ValueError:
            kind = "whole number" if name in WHOLE_NUMBERS else "number"
            raise argparse.ArgumentTypeError(f"{text!r} is no {kind}, and not {DEFAULT!r}") from None

    return read


def _mode(text: str) -> str:
    if text not in list(Mode):
        raise argparse.ArgumentTypeError(f"{text!r} is neither {' nor '.join(Mode)}")
    return text
