"""A Kafka broker in memory, for development: librdkafka's mock cluster."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from somabrain.embedded import broker
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.foreground import until_stopped
from somabrain.embedded.mock import MockCluster


class Command(BaseCommand):
    help = "Runs a mock Kafka broker in memory until it is stopped. It forgets everything when it stops."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--brokers", type=int, default=1, help="size of the cluster (default: 1)")
        parser.add_argument("--refuse", metavar="TOPIC", help="refuse whoever writes to this topic, for a while")
        parser.add_argument(
            "--refuse-seconds", type=float, default=30.0, metavar="N", help="for so long (default: %(default)s)"
        )

    def handle(self, *args: Any, brokers: int, refuse: str | None, refuse_seconds: float, **options: Any) -> None:
        try:
            with until_stopped(), broker.sole():
                self._serve(MockCluster(brokers=brokers), refuse, refuse_seconds)
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from error

    def _serve(self, cluster: MockCluster, refused: str | None, seconds: float) -> None:
        address = cluster.bootstrap_servers
        if refused is not None:
            cluster.refuse(refused)
        broker.announce(kind="mock", bootstrap_servers=address)
        self.stdout.write(
            f"Mock broker at {address}. It keeps at most 5 MiB of a partition, in memory, "
            "and forgets everything when it stops. Ctrl-C stops it."
        )
        self.stdout.flush()
        try:
            if refused is not None:
                time.sleep(seconds)
                cluster.allow(refused)
            while True:
                time.sleep(60)
        finally:
            cluster.close()
