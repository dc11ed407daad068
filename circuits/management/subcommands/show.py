"""`manage.py circuits show`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from circuits.management import records
from circuits.management.arguments import add_circuit, add_json
from circuits.operations import listing
from circuits.terminal import output
from circuits.terminal.values import positive
from circuits.terminal.verbs import Verb

_HEAD = ("AT", "FROM", "TO", "WHY", "BY", "REASON", "FAILURES", "ERROR")


class Show(Verb):
    help = "Shows one circuit: its state, the thresholds that hold, and what moved it."

    def add_arguments(self, parser: CommandParser) -> None:
        add_circuit(parser)
        parser.add_argument(
            "--history", type=positive, default=10, metavar="N", help="at most so many changes (default: %(default)s)"
        )
        add_json(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        circuit = listing.show(tenant_id=options["tenant"], name=options["name"])
        changes = listing.history(tenant_id=circuit.tenant_id, name=circuit.name, limit=options["history"])
        if options["json"]:
            history = [records.change_as_record(each) for each in changes]
            output.write_json(command.stdout, {**records.as_record(circuit), "history": history})
            return
        output.write_table(command.stdout, ("CIRCUIT", f"{circuit.tenant_id} {circuit.name}"), _facts(circuit))
        command.stdout.write("")
        output.write_table(command.stdout, ("THRESHOLD", "VALUE", ""), _thresholds(circuit))
        command.stdout.write("")
        output.write_table(
            command.stdout,
            _HEAD,
            [(c.at, c.from_state, c.to_state, c.why, c.by, c.reason, c.failures, c.error_code) for c in changes],
        )


def _facts(circuit: listing.CircuitRow) -> list[tuple[str, Any]]:
    facts = [
        ("state", circuit.state),
        ("failures", circuit.failures),
        ("trips", circuit.trips),
        ("opened", circuit.opened_at),
        ("retry", circuit.retry_at),
        ("forced by", circuit.override_by),
        ("because", circuit.override_reason),
        ("until", circuit.override_until),
    ]
    return [(name, value) for name, value in facts if value not in (None, "")]


def _thresholds(circuit: listing.CircuitRow) -> list[tuple[str, Any, str]]:
    return [
        (name, getattr(circuit.policy, name), "default" if value is None else "its own")
        for name, value in circuit.thresholds.items()
    ]
