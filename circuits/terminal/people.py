"""Whoever sits at the terminal: who it is, what they want, and what they are told meanwhile."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

NOTHING_DONE = 1
USAGE = 2
SAY_SECONDS = 5.0


def account() -> str:
    """The account that runs this command, and its host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        name = f"uid-{os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def add_consent(parser: CommandParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask; without a terminal nothing is done otherwise")


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


class Meanwhile:
    """Tells how far long work is: on a terminal in one line that changes, else in a line every five seconds."""

    def __init__(self, command: BaseCommand) -> None:
        self._stream = command.stderr
        self._live = sys.stderr.isatty()
        self._said_at = time.monotonic()
        self._width = 0

    def say(self, text: str) -> None:
        if self._live:
            self._stream.write(f"\r{text.ljust(self._width)}", ending="")
            self._stream.flush()
            self._width = len(text)
        elif time.monotonic() - self._said_at >= SAY_SECONDS:
            self._stream.write(text)
            self._said_at = time.monotonic()

    def end(self) -> None:
        if self._width:
            self._stream.write(f"\r{' ' * self._width}\r", ending="")
            self._stream.flush()
            self._width = 0
