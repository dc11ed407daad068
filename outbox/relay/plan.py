"""Which lanes take part in a round and how many events each may have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from outbox.relay.fairness import MOST_CREDIT, PAGE_BYTES, Claim, fair_parts, shares
from outbox.relay.lanes import UNLIMITED, Lane

MOST_ISOLATED = 100
"""Events of a round for a lane under suspicion: each is a batch of its own, and all have one deadline."""

WITHOUT_OTHERS = 2.0
"""How many times its part a lane gets at most while others wait for reports, unless it is behind these."""


@dataclass(frozen=True, slots=True)
class Plan:
    lanes: list[Lane]
    quotas: list[int]
    virtual_now: float
    """The least virtual time that took part: where a lane starts that wakes up now."""


def plan(
    lanes: Collection[Lane],
    *,
    budget: int,
    most_bytes: int,
    quantum: int,
    virtual_now: float,
    now: float,
    now_us: int,
    ceiling: float = UNLIMITED,
) -> Plan:
    """A round of about `budget` events, shared by start-time fair queuing among lanes below the ceiling.

    Those without a backlog run ahead of nobody, and are above it only because they come from another relay, or because
    the least served of all was written down a while ago.
    """
    ready = [
        lane for lane in lanes if _is_ready(lane, now) and (lane.virtual_time <= ceiling or not lane.has_backlog(now))
    ]
    allowed = [(lane, _allowance(lane, now, now_us)) for lane in ready]
    part = [(lane, most) for lane, most in allowed if most >= 1]
    if not part:
        return Plan([], [], virtual_now)
    backlogged = [lane.virtual_time for lane, _ in part if not lane.idle]
    if backlogged:
        virtual_now = max(virtual_now, min(backlogged))
    for lane, _ in part:
        _end_idleness(lane, virtual_now)
    claims = [Claim(lane.virtual_time, lane.weight, lane.cost, min(most, lane.predicted)) for lane, most in part]
    away = [Claim(lane.virtual_time, lane.weight, lane.cost) for lane in lanes if _is_away(lane)]
    if away:
        _leave_their_part(claims, away, budget=budget, quantum=quantum)
    counts = shares(claims, budget=budget, quantum=quantum)
    taking, quotas = _quotas(part, counts, quantum=quantum, most_bytes=most_bytes)
    return Plan(taking, quotas, virtual_now)


def _is_ready(lane: Lane, now: float) -> bool:
    if lane.rewind_to is not None:
        lane.apply_rewind()
    return lane.may_fetch(now)


def _is_away(lane: Lane) -> bool:
    """It would take part, but waits for reports, or changes relays."""
    return (lane.outstanding > 0 or lane.leaving) and lane.backlogged


def _leave_their_part(claims: list[Claim], away: list[Claim], *, budget: int, quantum: int) -> None:
    """Whoever is among the few at hand when all others are away does not get the round alone: it would be ahead of them
    by a second of their service in no time.
    """
    everyone = claims + away
    together = shares(everyone, budget=budget, quantum=quantum)
    parts = fair_parts(everyone, budget=budget)
    for claim, share, part in zip(claims, together, parts, strict=False):
        claim.most = min(claim.most, max(share, WITHOUT_OTHERS * part, quantum))


def _allowance(lane: Lane, now: float, now_us: int) -> float:
    allowance = lane.allowance(now_us)
    return min(allowance, MOST_ISOLATED) if lane.suspect_until > now else allowance


def _end_idleness(lane: Lane, virtual_now: float) -> None:
    """Time in which a lane had nothing, or was not let, is not saved up. But one that had all it may stays among the
    first: lanes of other relays come in at any virtual time, and one that waits for these loses what its rate lets it.
    """
    if lane.idle:
        lane.idle = False
        lane.virtual_time = max(lane.virtual_time, virtual_now - (MOST_CREDIT if lane.capped else 0.0))


def _quotas(
    part: list[tuple[Lane, float]], counts: list[int], *, quantum: int, most_bytes: int
) -> tuple[list[Lane], list[int]]:
    lanes, quotas = [], []
    for (lane, most), count in zip(part, counts, strict=True):
        if count:
            # What a prediction of one leaves room for costs nothing: ask for a quantum at least.
            fits = max(1, int(most_bytes / (lane.cost * PAGE_BYTES))) if lane.cost > 1 else UNLIMITED
            quota = int(min(max(count, quantum), most, fits))
            lane.idle = lane.capped = quota >= most
            lanes.append(lane)
            quotas.append(quota)
    return lanes, quotas
