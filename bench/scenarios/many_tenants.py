"""One relay, as many events: of 10,000 tenants with a few each, against 100 with many."""

from __future__ import annotations

from functools import partial

from bench.load import Load
from bench.measure import ratios
from bench.processes import relay_until_empty
from bench.report import Figure, at_least
from bench.rounds import Options, alternate
from bench.servers import Servers


def run(servers: Servers, options: Options) -> list[Figure]:
    """Ten events a tenant."""
    loads = [Load(events=options.events, tenants=tenants) for tenants in (100, options.events // 10)]
    relay = partial(relay_until_empty, servers)
    few, many = alternate([relay, relay], rounds=options.rounds, servers=servers, loads=loads)
    return [
        Figure(what="many tenants: 100 tenants, events/s", samples=few),
        Figure(what=f"many tenants: {loads[1].tenants:,} tenants, events/s", samples=many),
        Figure(
            key="many_tenants_ratio",
            what="many tenants: to 100 tenants",
            samples=ratios(many, few),
            asked=at_least(0.6),
        ),
    ]
