"""How a round is shared: start-time fair queuing, a round at a time.

Goyal, Vin, Cheng: Start-time Fair Queuing, SIGCOMM 1996. Each lane carries a virtual time, the service it received
divided by its weight. A round raises a water level: every lane gets what lifts its virtual time to the level, no more
than it has, and the level is where the budget is spent. What small lanes leave thereby goes to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

PAGE_BYTES = 4_096
"""An event of up to this size costs one unit of service, a larger one in proportion."""
MOST_CREDIT = 10_000.0
"""How far behind the others, in service units, a lane may be that nobody or its limit has let send what it has."""


@dataclass(slots=True)
class Claim:
    """One lane's part in a round."""

    virtual_time: float
    weight: float = 1.0
    cost: float = 1.0
    """Service units an event of this lane takes, on average."""
    most: float = float("inf")
    """Events it can use: what it is expected to have, its quota, its rate."""

    @property
    def events_per_unit(self) -> float:
        """Of virtual time."""
        return self.weight / self.cost


def cost_of(payload_bytes: int) -> float:
    return payload_bytes / PAGE_BYTES if payload_bytes > PAGE_BYTES else 1.0


def shares(claims: Sequence[Claim], *, budget: float, quantum: int) -> list[int]:
    """Events each lane may take of a round of `budget` events.

    A lane whose turn has come gets at least a quantum (or all it can use); the rounding is charged like everything
    else, so it evens out over rounds.
    """
    level = water_level(claims, budget=budget)
    return [_share(claim, level=level, quantum=quantum) for claim in claims]


def fair_parts(claims: Sequence[Claim], *, budget: float) -> list[float]:
    """Events that each would get of such a budget if all stood at the same level."""
    total = sum(claim.events_per_unit for claim in claims)
    return [budget * claim.events_per_unit / total for claim in claims]


def water_level(claims: Sequence[Claim], *, budget: float) -> float:
    """The virtual time up to which the budget lifts the lanes; infinite when it is enough for everything."""
    turns = sorted(_turning_points(claims))
    level, slope, spent = turns[0][0] if turns else 0.0, 0.0, 0.0
    for at, change in turns:
        if slope > 0 and spent + (at - level) * slope >= budget:
            return level + (budget - spent) / slope
        spent += (at - level) * slope
        level, slope = at, slope + change
    return level + (budget - spent) / slope if slope > 1e-12 else float("inf")


def _turning_points(claims: Sequence[Claim]) -> list[tuple[float, float]]:
    points = []
    for claim in claims:
        events_per_unit = claim.events_per_unit
        points.append((claim.virtual_time, events_per_unit))
        if claim.most != float("inf"):
            points.append((claim.virtual_time + claim.most / events_per_unit, -events_per_unit))
    return points


def _share(claim: Claim, *, level: float, quantum: int) -> int:
    if level <= claim.virtual_time or claim.most <= 0:
        return 0
    if level == float("inf"):
        return ceil(claim.most)
    fair = ceil((level - claim.virtual_time) * claim.weight / claim.cost)
    return int(min(max(fair, quantum), claim.most))
