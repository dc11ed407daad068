"""A Kafka broker in memory, for development: librdkafka's mock cluster."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from circuits.terminal import values
from somabrain.embedded import broker, refusal
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.embedded.foreground import until_stopped
from somabrain.embedded.mock import MockCluster
from somabrain.embedded.refusal import Refusal

MOST_BROKERS = 100


class Command(BaseCommand):
    help = "Runs a mock Kafka broker in memory until it is stopped. It forgets everything when it stops."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--brokers",
            type=values.at_most(MOST_BROKERS),
            default=1,
            metavar="N",
            help="size of the cluster (default: 1)",
        )
        refusal.add_arguments(parser)

    def handle(self, *args: Any, brokers: int, **options: Any) -> None:
        try:
            with until_stopped(), broker.sole():
                self._serve(MockCluster(brokers=brokers), refusal.chosen(options))
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from error

    def _serve(self, cluster: MockCluster, refused: Refusal | None) -> None:
        address = cluster.bootstrap_servers
        try:
            with refused.while_it_lasts(refuse=cluster.refuse, allow=cluster.allow) if refused else nullcontext():
                broker.announce(kind="mock", bootstrap_servers=address)
                self.stdout.write(
                    f"Mock broker at {address}. It keeps at most 5 MiB of a partition, in memory, "
                    "and forgets everything when it stops. Ctrl-C stops it."
                )
                self.stdout.flush()
                while True:
                    time.sleep(60)
        finally:
            cluster.close()
