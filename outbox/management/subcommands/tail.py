"""`manage.py outbox tail`: events as they are sent or fail."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from circuits.terminal import output, values
from circuits.terminal.verbs import Verb
from outbox.management import arguments
from outbox.operations import tail
from outbox.operations.tail import Happening

POLL_SECONDS = 0.5


class Tail(Verb):
    help = (
        "Follows events as they are sent, fail or are discarded, until Ctrl-C, which ends it with 0. Where thousands "
        "are sent in a second, some go by unseen."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_filter(parser, statuses="all", paged=False)
        parser.add_argument("--limit", type=values.positive, metavar="N", help="end after so many")
        arguments.add_output(parser)

    def handle(self, command: BaseCommand, options: Mapping[str, Any]) -> None:
        try:
            _follow(command, options)
        except KeyboardInterrupt:
            return


def _follow(command: BaseCommand, options: Mapping[str, Any]) -> None:
    watched = tail.Tail(arguments.chosen(options), using=arguments.database(options))
    command.stderr.write("Following; Ctrl-C ends it.")
    left = options["limit"]
    while left is None or left > 0:
        for happening in watched.poll()[:left]:
            _write(command, happening, as_json=options["json"])
            left = None if left is None else left - 1
        command.stdout.flush()
        if left != 0:
            time.sleep(POLL_SECONDS)


def _write(command: BaseCommand, happening: Happening, *, as_json: bool) -> None:
    event = happening.event
    if as_json:
        record = {"at": happening.at, "what": happening.what, "message": happening.message, **asdict(event)}
        output.write_json(command.stdout, record)
        return
    columns = (
        output.at(happening.at),
        f"{happening.what:<9}",
        f"{event.tenant_id:<16}",
        f"{event.topic:<24}",
        f"#{event.event_id}",
        event.partition_key,
        f"{event.error_class}: {happening.message}" if happening.message else "",
    )
    command.stdout.write(output.plain("  ".join(columns)).rstrip())
