"""Which lanes this relay holds, which it should, and which it gives back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from math import ceil
from typing import Any

from outbox import conf, sql
from outbox.relay.circuit import LaneCircuit
from outbox.relay.fairness import MOST_CREDIT
from outbox.relay.fleet import Fleet
from outbox.relay.lanes import UNLIMITED, Lane
from outbox.relay.level import Level
from outbox.relay.session import Connection, query
from outbox.relay.settle import LaneState, Renew

MOST_CANDIDATES = 1_000
RECENT_SECONDS = 300.0
REFUSED_SECONDS = 0.2
LONG_REST_SECONDS = 1.0
"""A lane that its rate keeps waiting for longer is given back meanwhile."""
CAPPED_TENURES = 10
LARGE_SURPLUS = 0.2
"""Which part of its lanes a relay gives back at once; a smaller surplus waits for the end of tenures."""
FORCED_OPEN = "forced_open"
AHEAD_QUANTA = 250
"""How far a lane may run ahead of the least served one before it makes room, in quanta."""


class Tenure:
    """The lanes held, the candidates known to have work, and the rules by which they change places."""

    def __init__(self, *, connection: Connection, relay_id: uuid.UUID, db_now: Callable[[float], int]) -> None:
        self.connection = connection
        self.relay_id = relay_id
        self.settings = conf.get()
        self.lanes: dict[str, Lane] = {}
        self.candidates: dict[str, float] = {}
        """Tenant -> earliest time (monotonic) at which to ask for its lane."""
        self.level = Level()
        self.db_now = db_now
        found = query(connection, sql.load("fleet"), {"owner": relay_id})[0]
        self.fleet = Fleet.of(found)
        least, most = found[2], found[3]
        self.virtual_now: float = most or 0.0 if least is None else least
        self._rows: set[str] = set()
        self._recent: dict[str, float] = {}
        self._refused: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        """What was offered within the time of a refusal -> the end of that time."""
        self._heard_due = UNLIMITED
        self._shift = 0.0

    # candidates

    def offer(self, tenants: Iterable[str], *, now: float) -> None:
        """These are said to have work."""
        for tenant in tenants:
            lane = self.lanes.get(tenant)
            if lane is None:
                until = self._refused.get(tenant, 0.0)
                if until <= now:
                    self.candidates.setdefault(tenant, now)
                else:
                    self._heard.setdefault(tenant, until)
                    self._heard_due = min(self._heard_due, until)
            elif lane.leaving:
                # Honoured after the release, or the wake-up would be lost until the next scan.
                lane.woken = True

    def ask_again(self) -> None:
        """A policy has changed: what was refused may be granted now."""
        self._refused.clear()
        self._heard = dict.fromkeys(self._heard, 0.0)
        self._heard_due = 0.0

    def take_heard(self, now: float) -> None:
        """What was refused a while ago and offered since is a candidate again: its holder may have given it back."""
        if now < self._heard_due:
            return
        over = [tenant for tenant, until in self._heard.items() if until <= now]
        for tenant in over:
            del self._heard[tenant]
        self._heard_due = min(self._heard.values(), default=UNLIMITED)
        self.offer(over, now=now)

    def next_due(self) -> float:
        """When the next candidate is to be asked for; monotonic seconds."""
        return min([self._heard_due, *self.candidates.values()])

    def due(self, now: float) -> list[str]:
        """Candidates to ask for, the longest known first."""
        names = [tenant for tenant, at in self.candidates.items() if at <= now]
        return names[:MOST_CANDIDATES]

    def known(self) -> list[str]:
        """Names the scan need not look for; called from the watcher's thread."""
        return list({*list(self.lanes), *list(self.candidates), *list(self._recent)})

    # claim

    @property
    def _waiting(self) -> int:
        """Lanes with work that nobody holds, as far as is known. Some of the candidates may be others' all the same."""
        return max(self.fleet.waiting, len(self.candidates))

    @property
    def target(self) -> int:
        """Lanes this relay should hold: its part of those with work."""
        lanes = self.fleet.others + len(self.lanes) + self._waiting
        equal = lanes / max(1, self.fleet.relays)
        return max(1, min(self.settings.max_lanes, ceil(equal * (1 + self._shift))))

    @property
    def ceiling(self) -> float:
        """How far a lane may get in virtual time. A relay that has just come does not run ahead with its first lanes,
        while the others are about to give it more.
        """
        least = self.fleet.least_virtual_time
        if self.fleet.relays < 2 or least is None or 2 * len(self.lanes) >= self.target:
            return UNLIMITED
        return least + self._leeway()

    def claim(self, names: list[str], *, limit: int, now: float) -> list[Lane]:
        """Asks for the lanes of `names`; those not granted are asked for again later."""
        self._create_rows(names)
        params = {
            "candidates": names,
            "limit": limit,
            "owner": self.relay_id,
            "lease": self.settings.lease_seconds,
            "virtual_now": self.virtual_now,
            "most_credit": MOST_CREDIT,
        }
        claimed = [self._held(row, now) for row in query(self.connection, sql.load("claim"), params)]
        for lane in claimed:
            self.candidates.pop(lane.tenant, None)
        refused = [name for name in names if name in self.candidates]
        if len(claimed) < limit:
            # Held by another relay, paused or above its rate. For a moment commits of theirs are only taken note of, or
            # a busy tenant that is paused would cost a claim each.
            for name in refused:
                del self.candidates[name]
                self._refused[name] = now + REFUSED_SECONDS
                self._rows.discard(name)
        return claimed

    def _create_rows(self, names: list[str]) -> None:
        new = [name for name in names if name not in self._rows]
        if new:
            statement = "INSERT INTO outbox_lanes (tenant_id) SELECT unnest(%(t)s::text[]) ON CONFLICT DO NOTHING"
            query(self.connection, statement, {"t": sorted(new)})
            self._rows.update(new)

    def _held(self, row: tuple[Any, ...], now: float) -> Lane:
        tenant, token, virtual_time, weight, rate, quota, rate_clock, floor, blocked, epoch, failing, by_probe = row
        deadline = now + self.settings.lease_seconds * 0.9
        lane = Lane(
            tenant=tenant,
            token=token,
            virtual_time=virtual_time,
            floor=floor,
            now=now,
            deadline=deadline,
        )
        lane.weight, lane.rate, lane.batch_quota = weight, rate, quota
        lane.rate_clock, lane.blocked = rate_clock, blocked
        lane.circuit = LaneCircuit(epoch=epoch, failing=failing, by_probe=by_probe)
        self.lanes[lane.tenant] = lane
        self._recent[lane.tenant] = now
        return lane

    # renew

    def renewal(self, now: float) -> Renew:
        lanes = [lane for lane in self.lanes.values() if not lane.leaving]
        self._recent = {name: at for name, at in self._recent.items() if now - at < RECENT_SECONDS}
        self._refused = {name: until for name, until in self._refused.items() if until > now}
        for lane in lanes:
            lane.floor_given = lane.floor
        return Renew(
            lanes=[self.state(lane, floor=lane.floor_given, has_work=lane.backlogged) for lane in lanes],
            lease=self.settings.lease_seconds,
            asked_at=now,
            block_changes={lane.tenant: lane.block_changes for lane in lanes},
        )

    def renewed(self, job: Renew, now: float) -> list[Lane]:
        """Takes over what the renewal brought. Returns the lanes that were lost."""
        lost = []
        for state in job.lanes:
            lane = self.lanes.get(state.tenant)
            if lane is None or lane.token != state.token or lane.leaving:
                continue
            row = job.rows.get(state.tenant)
            if row is None:
                lost.append(lane)
                continue
            self._take_over(lane, job, row)
        self.fleet = Fleet.of(job.fleet)
        if self.fleet.everyone == FORCED_OPEN:
            for lane in self.lanes.values():
                lane.circuit.barred = True
        self._shift = self.level.shift(self.fleet.others_level, now)
        if self.fleet.least_virtual_time is not None:
            self.virtual_now = self.fleet.least_virtual_time
        return lost

    def _take_over(self, lane: Lane, job: Renew, row: tuple[Any, ...]) -> None:
        _, _, floor, weight, rate, quota, paused, blocked, epoch, failing, by_probe, may_call = row
        lane.deadline = job.asked_at + self.settings.lease_seconds * 0.9
        lane.notice_floor(floor)
        lane.weight, lane.batch_quota = weight, quota
        if rate is None or lane.rate is None:
            lane.rate_clock = None
        lane.rate, lane.paused = rate, paused
        if job.block_changes[lane.tenant] == lane.block_changes:
            lane.blocked = blocked
        probing = not lane.circuit.closed
        lane.circuit.renewed(epoch=epoch, failing=failing, by_probe=by_probe, may_call=may_call)
        if probing and lane.circuit.closed:
            # Its probes were what it was under suspicion for, and nobody asks for leave any more.
            lane.suspect_until = 0.0

    # give back

    def choose_leavers(self, now: float) -> None:
        """Marks lanes to give back: dry, paused, not let through, above the target, or ahead of lanes that wait."""
        waiting = self._waiting
        held = [lane for lane in self.lanes.values() if not lane.leaving]
        # As long as there is room, what is dry stays for a tenure: claiming it again costs more than holding it.
        crowded = waiting > 0 and len(held) + waiting > self.settings.max_lanes
        for lane in held:
            lane.leaving = self._is_done(lane, now, crowded)
        if waiting or self.fleet.relays > 1:
            self._make_room([lane for lane in held if not lane.leaving], now)

    def _is_done(self, lane: Lane, now: float, crowded: bool) -> bool:
        if lane.paused or lane.circuit.barred:
            return True
        # Under suspicion it stays, for the next holder would not know.
        resting = not lane.outstanding and lane.suspect_until <= now and self.rest(lane, now) > LONG_REST_SECONDS
        if lane.hungry and not resting:
            return False
        return crowded or now - lane.touched_at > self.settings.tenure_seconds

    def rest(self, lane: Lane, now: float) -> float:
        """Seconds until the rate allows the lane's next event."""
        if lane.rate is None or lane.rate_clock is None:
            return 0.0
        return max(0.0, 1 / lane.rate + (lane.rate_clock - self.db_now(now)) / 1e6)

    def _make_room(self, held: list[Lane], now: float) -> None:
        surplus = len(held) - self.target
        # Another relay has just come: its first lanes would run far ahead of the others meanwhile.
        at_once = surplus > len(held) * LARGE_SURPLUS
        over_time = [lane for lane in held if at_once or now - lane.claimed_at > self._tenure_of(lane)]
        waiting = self._waiting > 0
        least = self.fleet.least_virtual_time
        over_time.sort(key=lambda lane: lane.virtual_time, reverse=True)
        for place, lane in enumerate(over_time):
            lead = 0.0 if least is None or lane.capped else lane.virtual_time - least
            ahead = lead * lane.weight > self._leeway()
            if place < surplus or (waiting and len(held) >= self.settings.max_lanes) or (waiting and ahead):
                lane.leaving = True

    def _tenure_of(self, lane: Lane) -> float:
        """Longer where a limit is what holds it: while it is nobody's, it loses what the limit would let it."""
        return self.settings.tenure_seconds * (CAPPED_TENURES if lane.capped else 1)

    def _leeway(self) -> float:
        return float(AHEAD_QUANTA * self.settings.quantum)

    def state(self, lane: Lane, *, floor: int, has_work: bool) -> LaneState:
        return LaneState(
            tenant=lane.tenant,
            token=lane.token,
            virtual_time=lane.virtual_time,
            rate_clock=lane.rate_clock,
            floor_seen=lane.floor_seen,
            floor=floor,
            has_work=has_work,
        )

    def forget(self, lane: Lane, *, now: float, again_at: float | None) -> None:
        """The lane is given back; `again_at` when it is known to have work left."""
        if self.lanes.get(lane.tenant) is lane:
            del self.lanes[lane.tenant]
        self._recent[lane.tenant] = now
        if again_at is not None:
            self.candidates.setdefault(lane.tenant, again_at)
