"""The broker that the demo publishes to: the one that the environment names, or one of its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from somabrain.embedded import broker
from somabrain.embedded.leash import Leashed
from somabrain.embedded.refusal import Refusal
from somabrain.errors import SomabrainError

# Command, kind in the broker's notice, and the time (seconds) that a start may take: Kafka may have to be fetched.
_COMMANDS = {"mock": ("mock_broker", "mock", 30.0), "real": ("kafka", "kafka", 300.0)}
KINDS = tuple(_COMMANDS)
_STOP_SECONDS = 30.0


class BrokerUnavailable(SomabrainError):
    """The demo has no broker to publish to."""


@contextmanager
def provided(kind: str | None, *, log: Path, refuse: Refusal | None = None) -> Iterator[str]:
    """The address of a broker that runs at least until the end of the block. `kind` is one of `KINDS`, or any.

    `refuse`: a topic that a broker of the demo's own refuses for a while.
    """
    given = settings.KAFKA.get("bootstrap.servers")
    if given:
        if kind is not None:
            raise BrokerUnavailable(f"KAFKA_BOOTSTRAP_SERVERS={given} names the broker: unset it, or ask for none.")
        yield given
        return
    command, announced_as, patience = _COMMANDS[kind or "mock"]
    if (notice := broker.running()) is not None:
        if kind is not None and notice.kind != announced_as:
            raise BrokerUnavailable(f"A {notice.kind} broker runs already, process {notice.pid}: stop it first.")
        yield notice.bootstrap_servers
        return
    refusing = refuse.arguments() if refuse else []
    process = Leashed([sys.executable, "manage.py", command, *refusing], log=log, environment=os.environ)
    try:
        yield _address(process, patience=patience)
    finally:
        process.stop(timeout=_STOP_SECONDS)


def _address(process: Leashed, *, patience: float) -> str:
    deadline = time.monotonic() + patience
    while (notice := broker.running()) is None:
        if process.returncode is not None or time.monotonic() > deadline:
            raise BrokerUnavailable(f"The broker did not start:\n{process.log.read_text(errors='replace')[-2_000:]}")
        time.sleep(0.05)
    return notice.bootstrap_servers
