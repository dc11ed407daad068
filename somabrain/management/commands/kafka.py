"""A real Kafka broker for development, fetched from Maven Central."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits.terminal import values
from somabrain.embedded import broker, kafka, refusal
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.foreground import until_stopped
from somabrain.embedded.paths import CACHE
from somabrain.embedded.refusal import Refusal


class Command(BaseCommand):
    help = "Runs Apache Kafka on loopback until it is stopped; needs Java and Maven. Its data outlives it."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=values.port, help="TCP port (default: a free one)")
        refusal.add_arguments(parser)

    def handle(self, *args: Any, port: int | None, **options: Any) -> None:
        try:
            with until_stopped(), broker.sole():
                self._serve(port, refusal.chosen(options))
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from error

    def _serve(self, port: int | None, refused: Refusal | None) -> None:
        running = kafka.start(data_dir=CACHE / "kafka", port=port, settings=kafka.ACLS if refused else None)
        try:
            broker.announce(kind="kafka", bootstrap_servers=running.bootstrap_servers)
            self.stdout.write(f"Kafka {kafka.VERSION} at {running.bootstrap_servers}. Ctrl-C stops it.")
            with refused.while_it_lasts(refuse=running.refuse, allow=running.allow) if refused else nullcontext():
                running.wait()
            raise EmbeddedServerError(f"Kafka has ended by itself; its log is {running.log}.")
        finally:
            running.stop()
