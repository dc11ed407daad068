"""The most memory a relay holds while it drains a large backlog, and one of large events."""

from __future__ import annotations

from bench.load import Load
from bench.processes import relay_until_empty
from bench.report import Figure, at_most
from bench.rounds import Options, drain
from bench.servers import Servers

_ROUNDS = 2


def run(servers: Servers, options: Options) -> list[Figure]:
    """A million events; then events of 100 kB."""
    many = Load(events=options.shortened(1_000_000), tenants=100)
    large = Load(events=options.shortened(5_000), tenants=100, payload_bytes=100_000)
    rounds = range(min(options.rounds, _ROUNDS))
    peaks = [(_peak(servers, many), _peak(servers, large)) for _ in rounds]
    return [
        Figure(what=f"relay's memory at {many.events:,} events, MB", samples=[first for first, _ in peaks]),
        Figure(what=f"relay's memory at {large.events:,} of 100 kB, MB", samples=[last for _, last in peaks]),
        Figure(
            key="relay_peak_mb",
            what="relay's memory, the larger of both, MB",
            samples=[max(pair) for pair in peaks],
            asked=at_most(150),
        ),
    ]


def _peak(servers: Servers, load: Load) -> float:
    seen: list[float] = []
    drain(servers, load, lambda: seen.append(relay_until_empty(servers)))
    print(f"    at most {seen[0]:.0f} MB", flush=True)
    return seen[0]
