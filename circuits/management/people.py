"""Whoever sits at the terminal: who it is, and what they want."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import socket
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

NOTHING_DONE = 1
USAGE = 2

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d{1,6})([smhd])")


def add_circuit(parser: CommandParser) -> None:
    """Which circuit is meant."""
    parser.add_argument("tenant", metavar="TENANT", help="the tenant, or * for the circuit that all share")
    parser.add_argument("name", metavar="NAME", help="the dependency, such as publish")


def add_change(parser: CommandParser) -> None:
    """Why, and whether they are sure."""
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; stands in the history with who did it")
    parser.add_argument("--yes", action="store_true", help="do not ask; without a terminal nothing is done otherwise")
    add_json(parser)


def add_json(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of text")


def operator() -> str:
    """The account that runs this command, and its host."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        account = f"uid-{os.getuid()}"
    return f"{account}@{socket.gethostname()}"


def ask(command: BaseCommand, question: str, options: Mapping[str, Any]) -> None:
    """Goes on if they agree. Raises `CommandError` if not, or if there is nobody to ask."""
    if options["yes"]:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandError(f"{question} There is no terminal to ask at: add --yes.", returncode=USAGE)
    command.stderr.write(f"{question} [y/N] ", ending="")
    command.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was changed.", returncode=NOTHING_DONE)


def duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90s, 5m, 2h or 1d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def moment(text: str) -> datetime:
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 2026-11-23T18:00, or with an offset +01:00")
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)
