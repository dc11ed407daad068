"""Arguments that several verbs have in common."""

from __future__ import annotations

import argparse
from datetime import timedelta

from django.core.management.base import CommandParser

from circuits.events import Origin
from circuits.terminal.people import add_consent
from circuits.terminal.values import duration

COMMAND = Origin(source="command")


def add_circuit(parser: CommandParser) -> None:
    """Which circuit is meant."""
    parser.add_argument("tenant", metavar="TENANT", help="the tenant, or * for the circuit that all share")
    parser.add_argument("name", metavar="NAME", help="the dependency, such as publish")


def add_change(parser: CommandParser) -> None:
    """Why, and whether they are sure."""
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; stands in the history with who did it")
    add_consent(parser)
    add_json(parser)


def add_json(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of text")


def lasting(text: str) -> timedelta:
    """A duration, but not none."""
    found = duration(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration that lasts: write 90s, 5m, 2h or 1d")
    return found
