"""`manage.py outbox list`: events that match, by index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from circuits.terminal import output, values
from circuits.terminal.people import Meanwhile
from circuits.terminal.verbs import Verb
from outbox.management import arguments
from outbox.operations import listing
from outbox.operations.filters import EventRow, Filter

DEFAULT_LIMIT = 50
MOST_LOOKED_AT = 200_000
_HEAD = ("ID", "TENANT", "TOPIC", "KEY", "STATUS", "ATTEMPTS", "ERROR", "CREATED", "AGE", "DUE")


class List(Verb):
    help = (
        "Lists events, the newest first: of all tenants by number, else by tenant and age. The table is neither "
        "counted nor searched as a whole; a long search stops and says where to go on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_filter(parser, statuses="all")
        parser.add_argument("--oldest-first", action="store_true", help="the other way round")
        parser.add_argument(
            "--limit",
            type=values.positive,
            default=DEFAULT_LIMIT,
            metavar="N",
            help="at most so many (default: %(default)s)",
        )
        arguments.add_output(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        rows, following = _collect(command, arguments.chosen(options), options)
        if options["json"]:
            for row in rows:
                output.write_json(command.stdout, asdict(row))
        else:
            now = listing.database_now(using=arguments.database(options))
            output.write_table(command.stdout, _HEAD, [_cells(row, now) for row in rows])
        if following is not None:
            command.stderr.write(f"There may be more: --after {following}")
        elif not rows:
            command.stderr.write("No event matches.")


def _collect(command: BaseCommand, given: Filter, options: Mapping[str, Any]) -> tuple[list[EventRow], str | None]:
    rows: list[EventRow] = []
    following, looked_at, meanwhile = options["after"], 0, Meanwhile(command)
    while True:
        found = listing.page(
            given,
            limit=options["limit"] - len(rows),
            after=following,
            newest_first=not options["oldest_first"],
            most=listing.MOST_LOOKED_AT,
            using=arguments.database(options),
        )
        rows += found.rows
        following, looked_at = found.next, looked_at + found.looked_at
        if following is None or len(rows) == options["limit"] or looked_at >= MOST_LOOKED_AT:
            meanwhile.end()
            return rows, following
        meanwhile.say(f"{looked_at:,} events looked at, {len(rows)} found")


def _cells(row: EventRow, now: Any) -> tuple[Any, ...]:
    return (
        row.event_id,
        row.tenant_id,
        row.topic,
        row.partition_key,
        row.status.value,
        row.attempts,
        row.error_class,
        row.created_at,
        now - row.created_at,
        row.available_at,
    )
