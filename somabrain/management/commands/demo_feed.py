"""The application's side of the demo."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from somabrain.demo import feed
from somabrain.embedded.foreground import until_stopped


class Command(BaseCommand):
    help = "Receives webhooks and enqueues their events; the demo runs it beside the service's other processes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="compare what arrives, and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if not once:
            with until_stopped():
                feed.on_and_on(self._say)
            return
        outcome = feed.once()
        self._say(outcome.line())
        if not outcome.holds:
            sys.exit(1)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
