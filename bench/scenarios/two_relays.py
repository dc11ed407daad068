"""Two relays on one backlog against one: they share it, and repeat nothing.

The relays run and idle when the backlog is committed, all at once, so that no start of a process counts.
"""

from __future__ import annotations

import time

import psycopg

from bench import broker, load
from bench.load import Load
from bench.measure import ratios
from bench.processes import relays
from bench.report import Figure, at_least, at_most
from bench.rounds import Options, fresh_topic
from bench.servers import Servers

_PATIENCE = 300.0


def run(servers: Servers, options: Options) -> list[Figure]:
    """100 tenants."""
    wanted = Load(events=options.events, tenants=100)
    one: list[float] = []
    two: list[float] = []
    repeated: list[float] = []
    for _ in range(options.rounds):
        one.append(_drain(servers, wanted, count=1).rate)
        both = _drain(servers, wanted, count=2)
        two.append(both.rate)
        repeated.append(both.messages - both.sent)
    return [
        Figure(what="two relays: one, events/s", samples=one),
        Figure(what="two relays: two together, events/s", samples=two),
        # Of all rounds together: a median forgives those that are the exception.
        Figure(what="two relays: duplicates in all rounds", samples=[sum(repeated)], asked=at_most(0)),
        Figure(key="two_relays_ratio", what="two relays: to one", samples=ratios(two, one), asked=at_least(0.95)),
    ]


def _drain(servers: Servers, wanted: Load, *, count: int) -> broker.Drained:
    with fresh_topic(servers) as topic:
        load.empty(servers.database_url)
        with relays(servers, count=count):
            _commit(servers, wanted, topic)
            _wait_until_sent(servers, wanted, topic)
        found = broker.drained(servers.kafka, topic, database_url=servers.database_url)
    print(f"    {found.line()}", flush=True)
    if found.sent != wanted.events:
        raise SystemExit(f"{found.sent} of {wanted.events} events were sent.")
    return found


def _commit(servers: Servers, wanted: Load, topic: str) -> None:
    from outbox.wakeup import CHANNEL, EVERYONE

    with psycopg.connect(servers.database_url) as connection:
        load.insert(connection, wanted, topic=topic)
        connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, EVERYONE])


def _wait_until_sent(servers: Servers, wanted: Load, topic: str) -> None:
    """Asks the broker: counting what is pending would cost the relays more than it tells."""
    deadline = time.monotonic() + _PATIENCE
    with broker.Watermarks(servers.kafka, topic) as watermarks:
        while watermarks.messages() < wanted.events:
            if time.monotonic() > deadline:
                raise SystemExit(f"Not all events have arrived after {_PATIENCE:.0f} s.")
            time.sleep(0.1)
