"""Relays that write down what they send of a tenant in trouble, on a broker of the proof's own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from circuits.models import CircuitTransition
from somabrain.embedded.kafka import KafkaBroker
from somabrain.embedded.leash import Leashed
from tests.proofs.stage import HANG_GUARD_SECONDS, Stage
from tests.support.processes import clean_environment
from tests.support.waiting import wait_until

BAD = "bad"
WAIT = 30.0


@dataclass(frozen=True)
class Tried:
    """Events of the bad tenant that a relay tried to send at once, and when it began to, seconds since 1970."""

    events: int
    at: float


@dataclass(frozen=True)
class Window:
    """From an opening of a circuit over the leave to probe up to the next opening, seconds since 1970."""

    begin: float
    probe: float
    end: float


class Room:
    """A broker, relays that write down what they send of the bad tenant, and the topics of all."""

    def __init__(self, stage: Stage, directory: Path) -> None:
        self.stage = stage
        self._directory = directory
        self._relays: list[Leashed] = []

    def start_relays(self, *kinds: str, **settings: str) -> None:
        """`counts`, or `dies` for one that is killed in the midst of its first probe."""
        for kind in kinds:
            number = len(self._relays)
            more = ["dies"] if kind == "dies" else []
            relay = Leashed(
                [sys.executable, "-m", "tests.proofs.probing", BAD, str(self._directory / f"tried-{number}"), *more],
                log=self._directory / f"relay-{number}.log",
                environment={
                    **clean_environment(),
                    **self.stage.environment,
                    "DJANGO_SETTINGS_MODULE": "somabrain.settings",
                    **settings,
                },
            )
            self._relays.append(relay)
            wait_until(lambda relay=relay: "publishes" in relay.log.read_text(), explain=relay.log.read_text)  # type: ignore[misc]

    def tried(self) -> list[Tried]:
        lines = [line.split() for file in self._directory.glob("tried-*") for line in file.read_text().splitlines()]
        found = [Tried(int(events), float(at)) for events, at in lines]
        return sorted(found, key=lambda each: each.at)

    def tried_within(self, begin: float, end: float) -> int:
        """Events of the bad tenant that any relay tried to send then."""
        return sum(each.events for each in self.tried() if begin <= each.at < end)

    def stop_relays(self) -> None:
        for relay in self._relays:
            if relay.returncode is None:
                relay.send(signal.SIGTERM)
                assert relay.wait(timeout=HANG_GUARD_SECONDS) == 0, relay.log.read_text()

    def kill(self) -> None:
        for relay in self._relays:
            relay.kill()


def admin(broker: KafkaBroker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})


def create_topic(broker: KafkaBroker, topic: str, **config: str) -> None:
    made = NewTopic(topic, num_partitions=4, config=config)
    client = admin(broker)
    client.create_topics([made])[topic].result(WAIT)


def moves(tenant: str) -> list[tuple[str, str]]:
    """Where a tenant's circuit went, and why."""
    found = CircuitTransition.objects.filter(tenant_id=tenant, name="publish").order_by("id")
    return [(each.to_state, each.why) for each in found]


def windows(tenant: str) -> list[Window]:
    """In which a tenant's circuit was not closed. What has not come yet lies behind all times."""
    found: list[Window] = []
    for each in CircuitTransition.objects.filter(tenant_id=tenant, name="publish").order_by("id"):
        at = each.at.timestamp()
        if each.to_state == "half_open":
            found[-1] = replace(found[-1], probe=at)
            continue
        found[-1:] = [replace(last, end=at) for last in found[-1:]]
        if each.to_state == "open":
            found.append(Window(begin=at, probe=inf, end=inf))
    return found


OpenRoom = Callable[..., tuple[Room, KafkaBroker]]
