"""Arguments that several verbs have in common, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser
from django.db import connections

from circuits.terminal.values import duration, positive
from outbox import conf
from outbox.models import EventStatus
from outbox.operations import listing
from outbox.operations.filters import Filter


def add_output(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    add_database(parser)


def add_database(parser: CommandParser) -> None:
    parser.add_argument(
        "--database", type=alias, metavar="ALIAS", help="the database to work on (default: OUTBOX_DATABASE)"
    )


def add_filter(parser: CommandParser, *, statuses: str, paged: bool = True) -> None:
    """What `chosen` reads. `statuses` says which are meant if none is given."""
    parser.add_argument("--tenant", metavar="NAME", help="of this tenant only")
    parser.add_argument("--topic", metavar="NAME", help="for this topic only")
    parser.add_argument(
        "--status",
        action="append",
        choices=EventStatus.values,
        metavar="STATUS",
        help=f"{', '.join(EventStatus.values)}; may be repeated (default: {statuses})",
    )
    parser.add_argument("--error-class", metavar="CLASS", help="whose last attempt failed like this, such as topic")
    parser.add_argument(
        "--older-than", type=duration, metavar="AGE", help="created longer ago than this: 90s, 5m, 2h, 1d, 1h30m"
    )
    parser.add_argument("--id", type=positive, nargs="+", metavar="ID", help="these events only")
    parser.add_argument("--dedupe-key", metavar="KEY", help="the event with this key; needs --tenant")
    if paged:
        parser.add_argument("--after", metavar="PLACE", help="go on where a run before said it stopped")


def chosen(options: Mapping[str, Any]) -> Filter:
    """The filter that the arguments describe. Raises `InvalidFilter`."""
    age = options["older_than"]
    return Filter(
        tenant_id=options["tenant"],
        topic=options["topic"],
        statuses=tuple(EventStatus(status) for status in options["status"] or ()),
        error_class=options["error_class"],
        created_before=None if age is None else listing.created_before(age=age, using=database(options)),
        ids=tuple(options["id"] or ()),
        dedupe_key=options["dedupe_key"],
        up_to_id=options.get("up_to_id"),
    )


def database(options: Mapping[str, Any]) -> str:
    """The alias to work on."""
    return options.get("database") or conf.get().database


def alias(text: str) -> str:
    if text not in connections.settings:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not among DATABASES; known are {', '.join(connections.settings)}"
        )
    return text
