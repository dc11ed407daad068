"""A real Kafka broker for development, fetched from Maven Central."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from somabrain.embedded import broker, kafka
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.foreground import until_stopped
from somabrain.embedded.paths import CACHE


class Command(BaseCommand):
    help = "Runs Apache Kafka on loopback until it is stopped; needs Java and Maven. Its data outlives it."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help="TCP port (default: a free one)")

    def handle(self, *args: Any, port: int | None, **options: Any) -> None:
        try:
            with until_stopped(), broker.sole():
                self._serve(port)
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from error

    def _serve(self, port: int | None) -> None:
        running = kafka.start(data_dir=CACHE / "kafka", port=port)
        try:
            broker.announce(kind="kafka", bootstrap_servers=running.bootstrap_servers)
            self.stdout.write(f"Kafka {kafka.VERSION} at {running.bootstrap_servers}. Ctrl-C stops it.")
            running.wait()
            raise EmbeddedServerError(f"Kafka has ended by itself; its log is {running.log}.")
        finally:
            running.stop()
