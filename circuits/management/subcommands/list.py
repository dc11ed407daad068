"""`manage.py circuits list`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from circuits.management import records
from circuits.management.arguments import add_json
from circuits.operations import listing
from circuits.terminal import output
from circuits.terminal.values import positive
from circuits.terminal.verbs import Verb

DEFAULT_LIMIT = 100
_HEAD = ("TENANT", "NAME", "STATE", "FAILURES", "TRIPS", "OPENED", "RETRY", "BY", "REASON")


class List(Verb):
    help = "Lists circuits by tenant. One that never failed, and for which nothing was decided, is in no list."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="NAME", help="of this tenant only")
        parser.add_argument("--name", metavar="NAME", help="of this dependency only")
        parser.add_argument("--state", choices=listing.VISIBLE_STATES, help="in this state only")
        parser.add_argument(
            "--limit", type=positive, default=DEFAULT_LIMIT, metavar="N", help="at most so many (default: %(default)s)"
        )
        add_json(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        found = listing.circuits(
            tenant_id=options["tenant"], name=options["name"], state=options["state"], limit=options["limit"] + 1
        )
        shown = found[: options["limit"]]
        if options["json"]:
            for row in shown:
                output.write_json(command.stdout, records.as_record(row))
        else:
            output.write_table(command.stdout, _HEAD, [_cells(row) for row in shown])
        if len(found) > len(shown):
            command.stderr.write(f"There are more: --limit {2 * options['limit']}, or one --tenant.")
        elif not shown:
            command.stderr.write("No circuit matches.")


def _cells(row: listing.CircuitRow) -> tuple[Any, ...]:
    return (
        row.tenant_id,
        row.name,
        row.state,
        row.failures,
        row.trips,
        row.opened_at,
        row.retry_at,
        row.override_by,
        row.override_reason,
    )
