"""One relay against the bare loops: a backlog of one tenant alone, for whom fairness must cost nothing."""

from __future__ import annotations

from bench.load import Load
from bench.measure import ratios
from bench.report import Figure
from bench.rounds import Options
from bench.scenarios.drain import OF_LIMIT, OF_TURN, compare
from bench.servers import Servers


def run(servers: Servers, options: Options) -> list[Figure]:
    """One tenant."""
    found = compare(servers, Load(events=options.events, tenants=1), rounds=options.rounds)
    return [
        *found.rates("one tenant"),
        Figure(
            key="single_tenant_ratio",
            what="one tenant: to the loop in turn",
            samples=ratios(found.relay, found.turn),
            asked=OF_TURN,
        ),
        Figure(
            what="one tenant: to the overlapped loop",
            samples=ratios(found.relay, found.overlapped),
            asked=OF_LIMIT,
        ),
    ]
