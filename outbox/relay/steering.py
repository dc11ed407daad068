"""Between the rounds: news are heard, leases renewed, lanes claimed and given back, outcomes settled."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from circuits.api import EVERY_TENANT
from outbox import conf, wakeup
from outbox.relay import circuit, metrics
from outbox.relay.candidates import PATIENCE_SECONDS
from outbox.relay.circuit import Probe
from outbox.relay.desk import Desk, Leave
from outbox.relay.judge import Judge
from outbox.relay.lanes import Lane
from outbox.relay.ledger import Ledger
from outbox.relay.listen import Listener
from outbox.relay.outcome import Outcomes
from outbox.relay.pipeline import Pipeline
from outbox.relay.rollup import Rollup
from outbox.relay.session import Connection
from outbox.relay.settle import CircuitReport, Job, Renew, Settle, Settler
from outbox.relay.tally import Tally
from outbox.relay.tenure import Tenure
from outbox.relay.watch import Found, Promoted, Stranded, Watcher

logger = logging.getLogger("outbox.relay")

PROBE_SECONDS = 60.0
"""How long a lane under probe uses the producer of lanes under suspicion, at most."""
CLAIM_SECONDS = 0.003
"""Claims are not made more often than this."""
SHARED_PAUSE_SECONDS = 0.5
"""How long a relay with more than its share leaves a lane to the others before it asks again."""


class Steering:
    """Everything about lanes that is not a round. Belongs to the relay's thread; other threads only tell it things."""

    def __init__(
        self,
        *,
        relay_id: uuid.UUID,
        connection: Connection,
        wake: threading.Event,
        db_now: Callable[[float], int],
        ledger: Ledger | None = None,
    ) -> None:
        self._settings = conf.get()
        self._wake = wake
        ledger = ledger or Ledger()
        self.tally, self.rollup = Tally(ledger), Rollup(ledger)
        with ExitStack() as opened:
            opened.callback(self.rollup.abandon)
            self.watcher = Watcher(relay_id=relay_id, known=lambda: self.tenure.known(), wake=wake.set)
            opened.callback(self.watcher.abandon)
            self.tenure = Tenure(connection=connection, relay_id=relay_id, db_now=db_now)
            self.listener = Listener(wake=wake.set)
            opened.callback(self.listener.close)
            self.desk = Desk(wake=wake.set)
            opened.callback(self.desk.abandon)
            self.settler = Settler(owner=relay_id, wake=wake.set, judge=Judge().judge, tell=self.desk.tell)
            opened.callback(self.settler.abandon)
            self.watcher.start()
            self.rollup.start()
            self._opened = opened.pop_all()
        self.busy: dict[str, Lane] = {}
        """Lanes with something produced or reported, or to be given back, that no settle has committed yet."""
        self.searched: float | None = None
        """When the last search for lanes with work began that found none."""
        self.pipeline = Pipeline()
        self._renewing = False
        self._renew_at = 0.0
        self.claimed_at = 0.0
        """When lanes were last asked for; monotonic seconds."""

    # news

    def hear(self, now: float) -> None:
        for news in self.watcher.news():
            match news:
                case Found():
                    self._found(news, now)
                case Promoted() | Stranded():
                    self._go_back(news.oldest, now)
        for channel, payload in self.listener.heard():
            if channel == wakeup.CHANNEL:
                self._woken(wakeup.parse(payload), now)
            elif channel == wakeup.LANES_CHANNEL:
                self._handed_over(payload, now)
            elif channel == circuit.CHANNEL:
                self._circuit_changed(payload)
            else:
                self._policy_changed()
        self.finish(now)

    def _policy_changed(self) -> None:
        self._renew_at = 0.0
        self.tenure.candidates.ask_again()
        self.watcher.scan_now.set()

    def _circuit_changed(self, payload: str) -> None:
        """Opened by us or others, or held by staff: known at once, not only after the next renewal."""
        tenant, _, name = payload.partition(" ")
        if name != circuit.NAME:
            return
        if tenant == EVERY_TENANT:
            self._policy_changed()
        elif (lane := self.tenure.lanes.get(tenant)) is not None and lane.circuit.closed:
            self._renew_at = 0.0

    def broker_changed(self, *, gone: bool) -> None:
        """The relay has found the broker gone, or back."""
        self.tenure.load.stuck = gone
        self.desk.broker(gone=gone)

    def _found(self, found: Found, now: float) -> None:
        if found.complete is not None:
            self.searched = None if found.tenants else found.complete
        self.tenure.offer(found.tenants, now=now)

    def _go_back(self, oldest: dict[str, int], now: float) -> None:
        for tenant, to in oldest.items():
            lane = self.tenure.lanes.get(tenant)
            if lane is not None:
                lane.rewind(to)
        self.tenure.offer(oldest, now=now)

    def _woken(self, tenants: frozenset[str] | None, now: float) -> None:
        if tenants is None:
            self.watcher.scan_now.set()
            tenants = frozenset(self.tenure.lanes)
        for tenant in tenants:
            lane = self.tenure.lanes.get(tenant)
            if lane is not None:
                lane.wake(now)
        self.tenure.offer(tenants, now=now)

    def _handed_over(self, payload: str, now: float) -> None:
        """A relay has given lanes back because it should not hold them."""
        relay, _, names = payload.partition(" ")
        if relay == str(self.tenure.relay_id):
            return
        tenants = wakeup.parse(names)
        if tenants is None:
            self.tenure.candidates.ask_again()
            self.watcher.scan_now.set()
        else:
            self.tenure.candidates.free(tenants - self.tenure.lanes.keys(), now=now)

    # leases

    def steer(self, now: float) -> None:
        """Renews, gives back and claims what is due."""
        if now >= self._renew_at and not self._renewing:
            self._renew(now)
        self.tenure.choose_leavers(now)
        self.watcher.tell_backlogged(self.tenure.load.backlogged)
        for lane in self.tenure.lanes.values():
            if lane.leaving:
                self.busy[lane.tenant] = lane
            elif lane.circuit.probe is Probe.WANTED and lane.clean:
                lane.circuit.probe = Probe.ASKED
                self.desk.ask(tenant=lane.tenant, token=lane.token)
        self.claim(now)

    def claim(self, now: float, *, beyond: bool = False) -> None:
        """Asks for lanes of candidates, as many as it has room for; `beyond` its part if need be."""
        self.tenure.candidates.take_heard(now)
        if not self.tenure.candidates.at or now - self.claimed_at < CLAIM_SECONDS:
            return
        # Whoever wakes up is better off where there is no backlog.
        free, asked_since = self.tenure.free(beyond=beyond and not self.tenure.yields), now
        if free <= 0:
            # Nobody else has taken them: the others' count of lanes may be as old as ours.
            free, asked_since = self.tenure.free(beyond=True), now - PATIENCE_SECONDS
        names = self.tenure.candidates.due(asked_since) if free > 0 else []
        if names:
            self.claimed_at = now
            self.tenure.claim(names, limit=free, now=now)

    def leave_all(self) -> None:
        """Every lane is given back as soon as it has nothing under way."""
        for lane in self.tenure.lanes.values():
            lane.leaving = True
            self.busy[lane.tenant] = lane
        # Nobody is to leave lanes to a relay that ends.
        self.watcher.tell_backlogged(max(1, self.tenure.load.backlogged))

    def _renew(self, now: float) -> None:
        self._renew_at = now + self.tenure.rhythm
        self._renewing = True
        for lane in self.tenure.lanes.values():
            # For what NOTIFY did not tell, and for what committed late.
            if not lane.leaving:
                lane.look_again()
        self.watcher.vitals.lanes = len(self.tenure.lanes)
        metrics.LANES_HELD.set(len(self.tenure.lanes))
        self.watcher.vitals.published = self.tally.published
        self.watcher.vitals.level = self.tenure.level
        self.settler.submit(self.tenure.renewal(now))

    def next_duty(self, now: float) -> float:
        """Seconds until something is due here."""
        due, patience = self._renew_at, 0.0 if self.tenure.free() > 0 else PATIENCE_SECONDS
        if self.tenure.free(beyond=True) > 0:
            due = min(due, self.tenure.candidates.next_due() + patience)
        return max(CLAIM_SECONDS, due - now)

    # settling

    @property
    def settling(self) -> bool:
        return not self.pipeline.empty

    @property
    def reported(self) -> int:
        """Events whose fate is known and not settled."""
        waiting = sum(len(lane.ids) + len(lane.failures) for lane in self.busy.values())
        return waiting + self.pipeline.events

    def submit(self, outcomes: Outcomes) -> None:
        """Hands what has been reported to the settle thread, unless it has as much to do as it may have."""
        if self.pipeline.full or not self.busy:
            return
        lanes = [lane for lane in self.busy.values() if not lane.in_round]
        job = outcomes.job(lanes)
        job.at = self.tenure.db_now(time.monotonic())
        if job.fenced:
            self.pipeline.begin(job, [lane for lane in lanes if lane.tenant in job.fenced])
            self.settler.submit(job)
        else:
            self._forget_clean(lanes)

    def submit_early(self, outcomes: Outcomes, *, least: int) -> None:
        """Before a round has ended, so that the settle thread does not wait for it; `least` events are worth it."""
        if self.settling:
            self.finish(time.monotonic())
        if not self.settling and sum(len(lane.ids) for lane in self.busy.values()) >= least:
            self.submit(outcomes)

    def finish(self, now: float) -> None:
        """Takes note of what the settle thread has committed."""
        for job in self.settler.finished():
            self._finished(job, now)
        for leave in self.desk.answers():
            self._answered(leave, now)

    def _finished(self, job: Job, now: float) -> None:
        if isinstance(job, Renew):
            self._renewing = False
            self._lose(self.tenure.renewed(job, now), now)
            if self.tenure.fleet.everyone == "half_open" and not self.tenure.load.stuck:
                # Whoever had found the broker gone is gone as well.
                self.desk.broker(gone=False)
            return
        lanes = self.pipeline.end(job)
        for report in job.reports:
            self._told(report)
        self.tally.settled(job)
        self._lose([lane for lane in lanes if lane.tenant in job.lost], now)
        self._released(job, now)
        self._forget_clean(lanes)

    def _told(self, report: CircuitReport) -> None:
        lane = self.tenure.lanes.get(report.tenant)
        if lane is not None and lane.token == report.token and report.probe:
            lane.circuit.judged(failed=bool(report.failed))

    def _answered(self, leave: Leave, now: float) -> None:
        lane = self.tenure.lanes.get(leave.tenant)
        if lane is None or lane.token != leave.token or lane.circuit.probe is not Probe.ASKED:
            if leave.probe:
                self.desk.tell([CircuitReport(leave.tenant, leave.token, leave.epoch, probe=True)])
        elif leave.granted:
            lane.circuit.granted(epoch=leave.epoch, probe=leave.probe)
            # What it does is its own affair: a probe that hangs must not hold up the producer of all others.
            lane.suspect_until = now + PROBE_SECONDS if leave.probe else 0.0
            # What it was not let meanwhile is not saved up.
            lane.idle = lane.idle or not leave.probe
        else:
            lane.circuit.refused()

    def _released(self, job: Settle, now: float) -> None:
        for state in job.released:
            lane = self.tenure.lanes.get(state.tenant)
            if lane is None or lane.token != state.token:
                continue
            again_at = None
            rest = self.tenure.rest(lane, now)
            if lane.woken and not lane.shared:
                again_at = now + rest
            elif lane.woken or state.has_work:
                again_at = now + max(rest, SHARED_PAUSE_SECONDS if self.tenure.fleet.relays > 1 else 0.0)
            self.busy.pop(lane.tenant, None)
            self.tenure.forget(lane, now=now, again_at=again_at)

    def _lose(self, lanes: Iterable[Lane], now: float) -> None:
        for lane in lanes:
            logger.warning(
                "lane %s was lost, to another relay or because others hold its rows locked; what was under way may be"
                " delivered twice",
                lane.tenant,
            )
            self.tally.lost()
            lane.leaving, lane.deadline = True, 0.0
            if self.busy.get(lane.tenant) is lane:
                del self.busy[lane.tenant]
            self.tenure.forget(lane, now=now, again_at=now + self._settings.lease_seconds)

    def _forget_clean(self, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            if lane.clean and not lane.leaving:
                self.busy.pop(lane.tenant, None)

    # end

    def close(self) -> None:
        self.settler.close()
        self.rollup.close()
        self.desk.close()
        self.listener.close()
        self.watcher.close()

    def abandon(self) -> None:
        """After an error: everything is let go, whatever state it is in."""
        self._opened.close()
