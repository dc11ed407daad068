"""One round: a fresh backlog on a fresh topic, drained, counted and timed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench import broker, load
from bench.broker import Drained
from bench.load import Load
from bench.servers import Servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long to measure."""

    rounds: int = 5
    events: int = 100_000
    quick: bool = False

    def shortened(self, events: int) -> int:
        """A tenth when it has to be quick."""
        return events // 10 if self.quick else events


Run = Callable[[], object]


def alternate(runs: Sequence[Run], *, rounds: int, servers: Servers, loads: Sequence[Load]) -> list[list[float]]:
    """The rates (events/s) of each run, one a round; within a round they follow each other."""
    rates: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, wanted, of_run in zip(runs, loads, rates, strict=True):
            of_run.append(drain(servers, wanted, run).rate)
    return rates


def drain(servers: Servers, wanted: Load, run: Run) -> Drained:
    """Seed the load, run something that drains it, and say how fast that went."""
    with fresh_topic(servers) as topic:
        load.empty(servers.database_url)
        load.seed(servers.database_url, wanted, topic=topic)
        run()
        return checked(broker.drained(servers.kafka, topic, database_url=servers.database_url), wanted)


@contextmanager
def fresh_topic(servers: Servers) -> Iterator[str]:
    """A topic for the time of the block."""
    topic = f"bench-{uuid.uuid4().hex[:12]}"
    broker.create_topic(servers.kafka, topic)
    try:
        yield topic
    finally:
        broker.delete_topic(servers.kafka, topic)


def checked(found: Drained, wanted: Load) -> Drained:
    """A rate means something only if all was sent, and nothing twice."""
    print(f"    {found.line()}", flush=True)
    if (found.sent, found.messages) != (wanted.events, wanted.events):
        raise SystemExit(f"{wanted.events} events became {found.sent} sent and {found.messages} messages.")
    return found
