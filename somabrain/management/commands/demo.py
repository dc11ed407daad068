"""The service at work, to be looked at."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits.terminal import values
from somabrain.demo import brokers, run, trouble
from somabrain.embedded.foreground import until_stopped
from somabrain.errors import SomabrainError


class Command(BaseCommand):
    help = (
        "Runs web, qcluster and, unless KAFKA_BOOTSTRAP_SERVERS is set, a broker, and carries webhooks from "
        "transactions to Kafka until Ctrl-C."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="feed, wait until all is published, consume and compare; exits with 0 only if all holds",
        )
        parser.add_argument(
            "--kafka", choices=brokers.KINDS, help="start this kind of broker (default: the mock broker)"
        )
        parser.add_argument(
            "--port", type=values.port, default=8000, help="of the web server, if it is free (default: 8000)"
        )
        parser.add_argument(
            "--refuse-seconds",
            type=values.seconds,
            default=trouble.SECONDS,
            metavar="N",
            help="for so long after its start a broker of the demo's own refuses one tenant's topic: the circuit of "
            f"{trouble.TENANT} opens, and closes by itself (default: %(default)g)",
        )

    def handle(self, *args: Any, once: bool, kafka: str | None, **options: Any) -> None:
        holds = not once
        try:
            with until_stopped():
                if once:
                    holds = run.once(kafka=kafka, say=self.stdout.write)
                else:
                    run.on_and_on(
                        kafka=kafka,
                        port=options["port"],
                        refuse_seconds=options["refuse_seconds"],
                        say=self.stdout.write,
                        show=self._show,
                    )
        except SomabrainError as error:
            raise CommandError(str(error)) from error
        if not holds:
            sys.exit(1)

    def _show(self, line: str) -> None:
        """On a terminal a line takes the place of the one before."""
        if self.stdout.isatty():
            self.stdout.write(f"\r\033[K{line}", ending="")
        else:
            self.stdout.write(line)
        self.stdout.flush()
