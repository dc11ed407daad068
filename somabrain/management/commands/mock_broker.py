"""A Kafka broker in memory, for development: librdkafka's mock cluster."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Producer
from django.core.management.base import BaseCommand, CommandError, CommandParser

from somabrain.embedded import broker
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.foreground import until_stopped

_READY_SECONDS = 10


class Command(BaseCommand):
    help = "Runs a mock Kafka broker in memory until it is stopped. It forgets everything when it stops."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--brokers", type=int, default=1, help="size of the cluster (default: 1)")

    def handle(self, *args: Any, brokers: int, **options: Any) -> None:
        try:
            with until_stopped(), broker.sole():
                self._serve(brokers)
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from error

    def _serve(self, brokers: int) -> None:
        cluster = Producer({"test.mock.num.brokers": brokers, "log_level": 4})
        members = cluster.list_topics(timeout=_READY_SECONDS).brokers.values()
        address = ",".join(f"{each.host}:{each.port}" for each in members)
        broker.announce(kind="mock", bootstrap_servers=address)
        self.stdout.write(
            f"Mock broker at {address}. It keeps at most 5 MiB of a partition, in memory, "
            "and forgets everything when it stops. Ctrl-C stops it."
        )
        while True:
            cluster.poll(1)
