"""One relay against the bare loops: a backlog of many tenants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from bench.bare import LOOPS
from bench.load import Load
from bench.measure import ratios
from bench.processes import bare_loop, relay_until_empty
from bench.report import Figure, at_least
from bench.rounds import Options, alternate, drain
from bench.servers import Servers

BATCHES = (1_000, 2_000, 5_000)
OF_TURN = at_least(1.25)
OF_LIMIT = at_least(0.85)

_TRIALS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Rates in events/s, one a round, and the batch each bare loop was best with."""

    turn: list[float]
    overlapped: list[float]
    relay: list[float]
    batches: dict[str, int]

    def rates(self, name: str) -> list[Figure]:
        """The rates themselves."""
        return [
            Figure(what=f"{name}: loop in turn, batches of {self.batches['turn']:,}, events/s", samples=self.turn),
            Figure(
                what=f"{name}: overlapped loop, batches of {self.batches['overlapped']:,}, events/s",
                samples=self.overlapped,
            ),
            Figure(what=f"{name}: relay, events/s", samples=self.relay),
        ]


def run(servers: Servers, options: Options) -> list[Figure]:
    """100 tenants."""
    found = compare(servers, Load(events=options.events, tenants=100), rounds=options.rounds)
    return [
        *found.rates("drain"),
        Figure(
            key="drain_ratio", what="drain: to the loop in turn", samples=ratios(found.relay, found.turn), asked=OF_TURN
        ),
        Figure(
            key="drain_of_limit",
            what="drain: to the overlapped loop",
            samples=ratios(found.relay, found.overlapped),
            asked=OF_LIMIT,
        ),
    ]


def compare(servers: Servers, load: Load, *, rounds: int) -> Comparison:
    """Both bare loops, each with the batch that suits it best, and the relay, alternating."""
    batches = {loop: _best_batch(servers, load, loop) for loop in LOOPS}
    loops = [partial(bare_loop, servers, loop=loop, batch=batches[loop]) for loop in ("turn", "overlapped")]
    print("  alternating: loop in turn, overlapped loop, relay", flush=True)
    turn, overlapped, relay = alternate(
        [*loops, partial(relay_until_empty, servers)], rounds=rounds, servers=servers, loads=[load] * 3
    )
    return Comparison(turn=turn, overlapped=overlapped, relay=relay, batches=batches)


def _best_batch(servers: Servers, load: Load, loop: str) -> int:
    best: dict[int, float] = {}
    for batch in BATCHES * _TRIALS:
        print(f"  trying {loop} with batches of {batch:,}", flush=True)
        rate = drain(servers, load, partial(bare_loop, servers, loop=loop, batch=batch)).rate
        best[batch] = max(rate, best.get(batch, 0.0))
    return max(best, key=best.__getitem__)
