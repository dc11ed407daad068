"""A relay's rounds: one is fetched, produced and collected while the one before is being settled."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Collection
from contextlib import ExitStack

from outbox import conf
from outbox.kafka.config import client_config, producer_config
from outbox.kafka.producer import Sender
from outbox.kafka.topics import TopicDirectory
from outbox.relay import metrics
from outbox.relay.fetch import fetch, go_back_for_retries, has_replays, large_payloads
from outbox.relay.lanes import Lane
from outbox.relay.late import LookedBehind, Lookout
from outbox.relay.ledger import Ledger
from outbox.relay.looks import Looks
from outbox.relay.outcome import Outcomes
from outbox.relay.pace import Pace
from outbox.relay.plan import Plan, plan
from outbox.relay.publish import Publisher
from outbox.relay.senders import Senders
from outbox.relay.session import connect, hold_identity
from outbox.relay.steering import Steering

EXPRESS_SECONDS = 0.003
EXPRESS_LANES = 64
MOST_ROUNDS = 2
"""What is produced and not settled has no more events than so many rounds, or a crash would repeat more."""
EARLY_PART = 4
"""A settle begins within a round once so much of it, a quarter, is reported."""


class Relay:
    """One relay under one identity. After an error it is of no further use: `abandon` it and make another."""

    def __init__(self, *, ledger: Ledger | None = None) -> None:
        self.id = uuid.uuid4()
        self._settings = settings = conf.get()
        self._wake = threading.Event()
        self._stopping = False
        with ExitStack() as opened:
            self._connection = connect("rounds")
            opened.callback(self._connection.close)
            hold_identity(self._connection, self.id)
            lookout = self._lookout = Lookout(self._connection)
            self.steering = Steering(
                relay_id=self.id, connection=self._connection, wake=self._wake, db_now=lookout.db_now, ledger=ledger
            )
            opened.callback(self.steering.abandon)
            self._make_kafka_side(opened)
            self._opened = opened.pop_all()
        self._tenure = self.steering.tenure
        self._outcomes = Outcomes(
            settings=settings,
            state=self._tenure.state,
            broker_answers=self._senders.answers,
            random=random.random,
        )
        self._pace = Pace(settings)
        self._early = 0
        self._express_at = 0.0
        self._in_express = False
        self._looks = Looks(longest=settings.idle_seconds)
        self._active_at = time.monotonic()

    def _make_kafka_side(self, opened: ExitStack) -> None:
        base = client_config()
        times = {
            "delivery_timeout": self._settings.delivery_timeout_seconds,
            "message_timeout": self._settings.message_timeout_seconds,
        }
        self._topics = TopicDirectory(base, on_change=self._wake.set)
        opened.callback(self._topics.close)
        self._senders = Senders(
            make=lambda isolate: Sender(producer_config(base=base, isolate=isolate, **times)),
            topics=self._topics,
            suspect_after=min(1.0, self._settings.delivery_timeout_seconds / 3),
            deadline=self._settings.delivery_timeout_seconds,
            on_outage=lambda gone: self.steering.broker_changed(gone=gone),
        )
        opened.callback(self._senders.purge_all)
        self._publisher = Publisher(
            topics=self._topics,
            between=self._between,
            load=lambda rows: large_payloads(self._connection, rows),
            most_bytes=self._settings.batch_bytes,
        )

    # lifecycle

    def run(self, *, until_empty: bool = False) -> None:
        """Publishes until `stop`, then drains; with `until_empty` until nothing is left that it may publish."""
        while not self._stopping:
            if self._round():
                self._active_at = time.monotonic()
                self._looks.found_work()
            elif until_empty and self._is_empty():
                break
            else:
                self._rest()
        self._drain()

    def stop(self) -> None:
        """Ends `run` once what is under way has been settled. Safe from any other thread, not from a signal handler."""
        self._stopping = True
        self._wake.set()

    def close(self) -> None:
        """After `run` has returned."""
        self._senders.close()
        self._topics.close()
        self.steering.close()
        self._connection.close()

    def abandon(self) -> None:
        """After an error. First of all nothing of ours may be delivered any more: the lanes may be another's."""
        self._opened.close()

    # a round

    def _round(self) -> bool:
        now = time.monotonic()
        self._lookout.refresh(now)
        if self._lookout.must_read_all(now):
            for lane in self._tenure.lanes.values():
                lane.rewind(0, predicted=1)
        self.steering.hear(now)
        self.steering.steer(now)
        self.steering.submit(self._outcomes)
        if not self._senders.usable(self.steering.busy.values(), now):
            return False
        self._publisher.resume(self._tenure.lanes.values())
        room = min(self._settings.batch_size, MOST_ROUNDS * self._settings.batch_size - self._under_way())
        self._pace.is_alone = self._tenure.fleet.relays < 2
        budget = min(self._pace.batch(now), room)
        if budget < 1:
            return False
        part = self._plan(self._tenure.lanes.values(), budget, now)
        if not part.lanes:
            return False
        self.steering.pipeline.begin_round()
        self._early = budget // EARLY_PART
        self._tenure.virtual_now = part.virtual_now
        before = sum(lane.virtual_time for lane in part.lanes)
        self._publisher.start_round(events=room)
        overdue = self._senders.outstanding
        events = self._publish(part, now)
        self._tenure.note_served(sum(lane.virtual_time for lane in part.lanes) - before, now)
        self._collect(overdue, until=now + self._pace.round_seconds(now))
        self._await_settle()
        self.steering.submit(self._outcomes)
        seconds = time.monotonic() - now
        self._pace.took(events=events, seconds=seconds)
        metrics.ROUND_SECONDS.observe(seconds)
        return events > 0

    def _plan(self, lanes: Collection[Lane], budget: int, now: float) -> Plan:
        return plan(
            lanes,
            budget=budget,
            most_bytes=self._settings.batch_bytes,
            quantum=self._settings.quantum,
            virtual_now=self._tenure.virtual_now,
            now=now,
            now_us=self._lookout.db_now(now),
            ceiling=self._tenure.ceiling(now),
        )

    def _publish(self, part: Plan, now: float) -> int:
        untold = {lane for lane in part.lanes if not lane.expects_work}
        for lane in part.lanes:
            lane.in_round, lane.woken = True, False
            if lane.looked is None:
                lane.has_looked(self._lookout.latest)
        fetched = {lane.tenant: rows for lane, rows in fetch(self._connection, part.lanes, part.quotas)}
        batches = self._lookout.add_late((lane, fetched.get(lane.tenant, [])) for lane in part.lanes)
        go_back_for_retries(
            self._connection,
            (batch.lane for batch in batches if batch.behind or batch.rows),
            replayed=[batch.lane for batch in batches if has_replays(batch.behind) or has_replays(batch.rows)],
        )
        for batch, quota in zip(batches, part.quotas, strict=True):
            whole = batch.lane.rewind_to is not None or self._publish_batch(batch, now)
            batch.lane.in_round = False
            if batch.rows and batch.lane in untold:
                self._looks.found_untold(told_at=batch.lane.told_at, now=now)
            batch.lane.was_read(now, dry=whole and len(batch.rows) < quota)
        return sum(len(batch.behind) + len(batch.rows) for batch in batches)

    def _publish_batch(self, batch: LookedBehind, now: float) -> bool:
        """What committed late behind the cursor goes first, or successors of the same key would overtake it."""
        lane = batch.lane
        if batch.behind or batch.rows:
            self.steering.busy[lane.tenant] = lane
            lane.touched_at = now
        sender, now_us = self._senders.of(lane, now), self._lookout.db_now(now)
        if not self._publisher.publish(lane, batch.behind, sender, now_us=now_us, late=True):
            return False
        if batch.sample is not None:
            lane.has_looked(batch.sample)
        return self._publisher.publish(lane, batch.rows, sender, now_us=now_us)

    def _collect(self, overdue: int, *, until: float) -> None:
        """Waits for the round's reports as long as a round may take; late ones come in with a later round."""
        while self._senders.outstanding > overdue and time.monotonic() < until:
            self._senders.wait(0.002)
            self._express_if_woken()
            self.steering.submit_early(self._outcomes, least=self._early)

    def _await_settle(self) -> None:
        """The next round begins when everything before this one is settled, and has room."""
        while self.steering.pipeline.behind or self._is_crowded():
            self._serve(0.001)
            self._express_if_woken()
            self.steering.submit_early(self._outcomes, least=1)

    def _is_crowded(self) -> bool:
        return self.steering.settling and self._under_way() > self._settings.batch_size

    def _under_way(self) -> int:
        """Events that are produced and not settled. What is stuck for a second is another producer's by then."""
        return self._senders.outstanding + self.steering.reported

    def _between(self) -> None:
        """Between two chunks of a round."""
        self._senders.poll()
        self._express_if_woken()
        self.steering.submit_early(self._outcomes, least=self._early)

    def _serve(self, seconds: float) -> None:
        """Waits for a delivery report or for news, whichever is to be expected."""
        if self._senders.outstanding:
            self._senders.wait(min(seconds, 0.002))
            return
        if self._senders.expecting:
            # Only of lanes under suspicion, which may take seconds.
            self._senders.poll()
            seconds = min(seconds, 0.002)
        if self._wake.wait(seconds):
            self._wake.clear()

    # express

    def _express_if_woken(self) -> None:
        """Lanes that have just woken and owe no virtual time do not wait for the round to end."""
        if not self.steering.listener.waiting or self._in_express or self._stopping:
            return
        now = time.monotonic()
        # Nor right after a claim: what was heard now could not be claimed, and would wait for the round's end.
        if now - max(self._express_at, self.steering.claimed_at) < EXPRESS_SECONDS:
            return
        self._express_at, self._in_express = now, True
        try:
            self._express(now)
        finally:
            self._in_express = False

    def _express(self, now: float) -> None:
        self.steering.hear(now)
        self.steering.claim(now, beyond=True)
        woken = [lane for lane in self._tenure.lanes.values() if self._has_just_woken(lane)][:EXPRESS_LANES]
        part = self._plan(woken, len(woken) * self._settings.quantum, now)
        if part.lanes:
            self._pace.quiet_lane_woke(now)
            self._publisher.extend_round(sum(part.quotas))
            self._publish(part, now)

    def _has_just_woken(self, lane: Lane) -> bool:
        return lane.hungry and lane.woken and (lane.idle or lane.virtual_time <= self._tenure.virtual_now)

    # rest

    def _rest(self) -> None:
        """Until there is something to do: at once when told so, else soon after work and rarer from then on."""
        now = time.monotonic()
        if now >= self._looks.due:
            self._look_again(now)
        self._serve(max(0.0, min(self._looks.due - now, self.steering.next_duty(now))))

    def _look_again(self, now: float) -> None:
        self._looks.look(now)
        for lane in self._tenure.lanes.values():
            if not lane.leaving:
                lane.look_again()

    def _is_empty(self) -> bool:
        """Nothing under way, and a search that began after the last work has found nothing."""
        if self.steering.busy or self._tenure.candidates.at or self.steering.settling:
            return False
        searched = self.steering.searched
        if searched is not None and searched > self._active_at:
            return not any(lane.hungry for lane in self._tenure.lanes.values())
        self.steering.watcher.search_thoroughly()
        return False

    def _drain(self) -> None:
        """Waits for the reports under way, no longer than their deadline, settles them and gives all lanes back."""
        self._stopping = True
        self.steering.leave_all()
        while self.steering.busy or self.steering.settling:
            now = time.monotonic()
            self._senders.judge(self.steering.busy.values(), now)
            self.steering.finish(now)
            self.steering.submit(self._outcomes)
            self._serve(0.005)
