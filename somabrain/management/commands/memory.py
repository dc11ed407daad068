"""`manage.py memory replay`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

from confluent_kafka import KafkaException
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from circuits.terminal import values
from outbox.management.stop_signals import StopSignals
from somabrain.embedded.errors import EmbeddedServerError
from somabrain.memory import queue
from somabrain.memory.http import HttpMemoryBackend
from somabrain.memory.replay import Replay
from somabrain.memory.topic import TopicReader

MOST_THREADS = 1_000


class Command(BaseCommand):
    help = "Applies writes to the memory that were queued."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", metavar="verb", required=True)
        help = (
            "Applies what was queued to the memory that MEMORY_URL names, until SIGTERM or SIGINT; then prints one "
            "line of JSON and exits with 0. Several may run, and share the work."
        )
        replay = verbs.add_parser("replay", help=help, description=help)
        replay.add_argument(
            "--until-empty",
            action="store_true",
            help="end when nothing waits any more, with 0; with 1 if nothing could be applied for a while",
        )
        replay.add_argument(
            "--patience",
            type=values.seconds,
            default=30.0,
            metavar="SECONDS",
            help="with --until-empty: give up after so long without any progress (default: 30)",
        )
        replay.add_argument(
            "--threads",
            type=values.at_most(MOST_THREADS),
            default=16,
            metavar="N",
            help="tenants that are served at the same time (default: 16)",
        )

    def handle(self, *args: Any, verb: str, until_empty: bool, patience: float, threads: int, **options: Any) -> None:
        try:
            backend = HttpMemoryBackend.from_settings()
            with StopSignals() as signals:
                replay = Replay(backend, threads=threads, stopped=lambda: signals.count > 0)
                gave_up = _run(replay, signals, patience=patience if until_empty else None)
        except (ImproperlyConfigured, EmbeddedServerError) as error:
            raise CommandError(str(error)) from error
        except KafkaException as error:
            raise CommandError(f"Kafka: {error.args[0].str()}.") from error
        self.stdout.write(json.dumps(asdict(replay.summary)))
        if gave_up:
            raise CommandError(
                f"Writes still wait, and nothing moved for {patience:g} s: is a relay running, is the memory up, "
                "is a circuit open?"
            )


def _run(replay: Replay, signals: StopSignals, *, patience: float | None) -> bool:
    """Until stopped or, with patience, until nothing waits. Whether that was given up."""
    reader = TopicReader(forget=replay.forget)
    moved_at = time.monotonic()
    try:
        while not signals.count:
            if replay.step(reader):
                moved_at = time.monotonic()
            elif patience is not None and not _anything_waits():
                return False
            elif patience is not None and time.monotonic() - moved_at > patience:
                return True
        return False
    finally:
        replay.close()
        reader.close()


def _anything_waits() -> bool:
    try:
        return queue.anything_waits()
    except (DatabaseError, InterfaceError):
        queue.reconnect_if_broken()
        return True
