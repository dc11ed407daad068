"""Which lanes this relay holds, which it should, and which it gives back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from math import ceil
from statistics import fmean
from typing import Any

from outbox import conf, sql
from outbox.relay.candidates import Candidates
from outbox.relay.circuit import LaneCircuit
from outbox.relay.fairness import MOST_CREDIT
from outbox.relay.fleet import Fleet
from outbox.relay.lanes import UNLIMITED, Lane
from outbox.relay.level import Level
from outbox.relay.load import Load
from outbox.relay.session import Connection, query
from outbox.relay.settle import LaneState, Renew

RECENT_SECONDS = 300.0
LONG_REST_SECONDS = 1.0
"""A lane that its rate keeps waiting for longer is given back meanwhile."""
CAPPED_TENURES = 10
LARGE_SURPLUS = 0.2
"""From which part of its lanes on a relay gives back dry ones that others should hold."""
MORE_OFTEN = 0.4
"""Part of the rhythm of renewals in which relays renew that divide lanes with a backlog."""
FEW_LANES = 256
"""Up to so many lanes a renewal more costs next to nothing."""
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
        self.candidates = Candidates()
        self.level = Level()
        self.load = Load(room=self.settings.max_lanes, memory=self.settings.tenure_seconds)
        self.db_now = db_now
        found = query(connection, sql.load("fleet"), {"owner": relay_id})[0]
        self.fleet = Fleet.of(found)
        least, most = self.fleet.least_virtual_time, found[4]
        self.virtual_now: float = most or 0.0 if least is None else least
        self._rows: set[str] = set()
        self._recent: dict[str, float] = {}
        self._shift = 0.0
        self._fleet_at = 0.0
        self._fleet_grew_at = float("-inf")

    # candidates

    def offer(self, tenants: Iterable[str], *, now: float) -> None:
        """These are said to have work."""
        for tenant in tenants:
            lane = self.lanes.get(tenant)
            if lane is None:
                self.candidates.add(tenant, now=now)
            elif lane.leaving:
                # Honoured after the release, or the wake-up would be lost until the next scan.
                lane.woken = True

    def known(self) -> list[str]:
        """Names the scan need not look for; called from the watcher's thread."""
        return list({*list(self.lanes), *list(self.candidates.at), *list(self._recent)})

    # claim

    @property
    def _waiting(self) -> int:
        """Lanes with work that nobody holds, as far as is known. Some of the candidates may be others' all the same."""
        return max(self.fleet.waiting, len(self.candidates.at))

    @property
    def target(self) -> int:
        """Lanes this relay should hold unless it yields: its part of all.

        As of the last renewal: counted with what it holds at this moment, its part would follow what it does.
        """
        lanes = max(self.fleet.leased, len(self.lanes)) + self._waiting
        return self._part(lanes, relays=self.load.hosts(self.fleet))

    @property
    def yields(self) -> bool:
        """See `Load.yields`."""
        return self.load.yields(self.fleet)

    def _part_of_backlogged(self, *, held: int) -> int:
        lanes = max(self.fleet.backlogged, held) + self.fleet.waiting
        return self._part(lanes, relays=self.fleet.relays, shift=self._shift)

    def _part(self, lanes: int, *, relays: int, shift: float = 0.0) -> int:
        equal = lanes / relays
        return max(1, min(self.settings.max_lanes, ceil(equal * (1 + shift))))

    def _backlogged(self) -> int:
        return sum(_is_backlogged(lane) and not lane.leaving for lane in self.lanes.values())

    def free(self, *, beyond: bool = False) -> int:
        """For how many more lanes it has room: of all, or of those with a backlog; `beyond` its part if need be."""
        held = sum(not lane.leaving for lane in self.lanes.values())
        if beyond:
            return self.settings.max_lanes - held
        if self.yields:
            return 0
        backlogged = self._backlogged()
        room = max(self.target - held, self._part_of_backlogged(held=backlogged) - backlogged)
        return min(room, self.settings.max_lanes - held)

    def ceiling(self, now: float) -> float:
        """How far a lane may get in virtual time. A relay that has just come, or that has finished with most of its
        lanes, does not run ahead with the few it has, while the others are about to give it more.
        """
        least = self.fleet.least_virtual_time
        if self.fleet.relays < 2 or least is None:
            return UNLIMITED
        backlogged = self._backlogged()
        if 2 * backlogged >= self._part_of_backlogged(held=backlogged):
            return UNLIMITED
        return least + self._leeway() + self._unknown(now)

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
            self.candidates.at.pop(lane.tenant, None)
        if len(claimed) < limit:
            refused = [name for name in names if name in self.candidates.at]
            self.candidates.refuse(refused, now=now)
            self._rows.difference_update(refused)
        return claimed

    def _create_rows(self, names: list[str]) -> None:
        new = [name for name in names if name not in self._rows]
        if new:
            statement = "INSERT INTO outbox_lanes (tenant_id) SELECT unnest(%(t)s::text[]) ON CONFLICT DO NOTHING"
            query(self.connection, statement, {"t": sorted(new)})
            self._rows.update(new)

    def _held(self, row: tuple[Any, ...], now: float) -> Lane:
        tenant, token, virtual_time, weight, rate, quota, rate_clock, floor, *rest = row
        blocked, epoch, failing, by_probe, had_work = rest
        deadline = now + self.settings.lease_seconds * 0.9
        lane = Lane(
            tenant=tenant,
            token=token,
            virtual_time=virtual_time,
            floor=floor,
            now=now,
            deadline=deadline,
            had_work=had_work,
        )
        lane.weight, lane.rate, lane.batch_quota = weight, rate, quota
        lane.rate_clock, lane.blocked = rate_clock, blocked
        lane.circuit = LaneCircuit(epoch=epoch, failing=failing, by_probe=by_probe)
        self.lanes[lane.tenant] = lane
        self._recent[lane.tenant] = now
        return lane

    # renew

    @property
    def rhythm(self) -> float:
        """Seconds from one renewal to the next. It tells the others which lanes still have a backlog, and brings what
        they said: equal parts are as good as that is fresh.
        """
        divides = self.fleet.relays > 1 and self.load.backlogged > 0 and len(self.lanes) <= FEW_LANES
        return self.settings.renew_seconds * (MORE_OFTEN if divides else 1.0)

    def renewal(self, now: float) -> Renew:
        lanes = [lane for lane in self.lanes.values() if not lane.leaving]
        self._recent = {name: at for name, at in self._recent.items() if now - at < RECENT_SECONDS}
        self.candidates.forget_old(now)
        states = [self.state(lane, floor=lane.floor, has_work=lane.may_have_backlog) for lane in lanes]
        for lane, state in zip(lanes, states, strict=True):
            lane.row_floor, lane.renewing = state.floor, True
        return Renew(
            lanes=states,
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
        fleet = Fleet.of(job.fleet)
        if fleet.relays > self.fleet.relays:
            self._fleet_grew_at = now
        self.fleet, self._fleet_at = fleet, now
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
        lane.renewing = False
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
            # Its probes were what it was under suspicion for, and nobody asks for leave any more. What it was not let
            # meanwhile is not saved up.
            lane.suspect_until, lane.idle = 0.0, True

    def note_served(self, served: float, now: float) -> None:
        """A round has moved lanes on by so much virtual time in all. Lanes that wait for reports count as well."""
        backlogged = [lane.virtual_time for lane in self.lanes.values() if lane.may_have_backlog]
        if backlogged:
            self.level.note(fmean(backlogged), now, served=served / len(backlogged))

    # give back

    def choose_leavers(self, now: float) -> None:
        """Marks lanes to give back: dry, paused, not let through, above the target, or ahead of lanes that wait."""
        waiting = self._waiting
        held = [lane for lane in self.lanes.values() if not lane.leaving]
        self.load.weigh(held, self.fleet, now)
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
        with_backlog = [lane for lane in held if _is_backlogged(lane)]
        dry = [lane for lane in held if not (_is_backlogged(lane) or lane.laden)]
        surplus = len(with_backlog) - self._part_of_backlogged(held=len(with_backlog))
        self._give_back(with_backlog, surplus, now)
        surplus = len(held) - max(0, surplus) - self.target
        if self.yields:
            self._give_back(dry, len(dry), now)
        elif surplus > len(held) * LARGE_SURPLUS:
            # One that commits at the moment when it changes relays waits for that: a few more or less are not worth it.
            self._give_back(dry, surplus, now)
        full = len(held) >= self.settings.max_lanes
        # What has just been offered may well be others'.
        if self._waiting if full else self.fleet.waiting:
            leeway = self._leeway() + self._unknown(now)
            for lane in held if full else with_backlog:
                if self._is_over_time(lane, now) and (full or self._lead(lane) > leeway):
                    lane.leaving = True

    def _give_back(self, lanes: list[Lane], surplus: int, now: float) -> None:
        """The most served of those whose tenure is over. Not only these if another relay has just come: its first lanes
        would run far ahead of the others meanwhile.
        """
        at_once = now - self._fleet_grew_at < self.settings.renew_seconds
        over_time = [lane for lane in lanes if at_once or self._is_over_time(lane, now)]
        over_time.sort(key=lambda lane: lane.virtual_time, reverse=True)
        for lane in over_time[: max(0, surplus)]:
            lane.leaving = lane.shared = True

    def _lead(self, lane: Lane) -> float:
        """How far it is ahead of the least served one, in service."""
        least = self.fleet.least_virtual_time
        return 0.0 if least is None or lane.capped else (lane.virtual_time - least) * lane.weight

    def _is_over_time(self, lane: Lane, now: float) -> bool:
        return now - lane.claimed_at > self._tenure_of(lane)

    def _tenure_of(self, lane: Lane) -> float:
        """Longer where a limit is what holds it: while it is nobody's, it loses what the limit would let it."""
        return self.settings.tenure_seconds * (CAPPED_TENURES if lane.capped else 1)

    def _unknown(self, now: float) -> float:
        """How far the least served lane may have got since its holder wrote it down, if it is served as ours are, or as
        those of the other relays if we have none.
        """
        pace = self.fleet.others_pace if self.level.value(now) is None else self.level.pace
        return pace * (now - self._fleet_at + self.settings.renew_seconds)

    def _leeway(self) -> float:
        return float(AHEAD_QUANTA * self.settings.quantum)

    def state(self, lane: Lane, *, floor: int, has_work: bool) -> LaneState:
        return LaneState(
            tenant=lane.tenant,
            token=lane.token,
            virtual_time=lane.virtual_time,
            rate_clock=lane.rate_clock,
            row_floor=lane.row_floor,
            floor=floor,
            has_work=has_work,
        )

    def forget(self, lane: Lane, *, now: float, again_at: float | None) -> None:
        """The lane is given back; `again_at` when it is known to have work left."""
        if self.lanes.get(lane.tenant) is lane:
            del self.lanes[lane.tenant]
        self._recent[lane.tenant] = now
        if again_at is not None:
            self.candidates.at.setdefault(lane.tenant, again_at)


def _is_backlogged(lane: Lane) -> bool:
    """It has more; or its limit keeps that back, though it is then no measure of who is served least."""
    return lane.may_have_backlog or lane.capped
