"""The producers of a relay: one for all, one for lanes under suspicion, and those that are being emptied.

A message that stays without report past our deadline is purged, with everything else its producer holds. So that this
never hits healthy lanes, a producer with a stuck message is retired first: healthy lanes, which have nothing under way
between rounds, go on with a new one, and what is left in the old one is the stuck lanes' alone. They use the quarantine
producer for a while; it sends one event a batch, because the broker's verdict falls on whole batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from outbox.errors import ProducerLost
from outbox.kafka.producer import Sender
from outbox.kafka.topics import TopicDirectory
from outbox.relay import metrics
from outbox.relay.lanes import Lane

QUARANTINE_SECONDS = 60.0


class Senders:
    def __init__(
        self,
        *,
        make: Callable[[bool], Sender],
        topics: TopicDirectory,
        suspect_after: float,
        deadline: float,
        on_outage: Callable[[bool], None] = lambda gone: None,
    ) -> None:
        self._make_cold = make
        self._topics = topics
        self._suspect_after = suspect_after
        self._deadline = deadline
        self._on_outage = on_outage
        self.main = make(False)
        self._warm(self.main)
        self._quarantine: Sender | None = None
        self._retired: list[Sender] = []

    def of(self, lane: Lane, now: float) -> Sender:
        """The producer for the lane's next events; the lane has none under way."""
        lane.isolated = lane.suspect_until > now
        if not lane.isolated:
            return self.main
        if self._quarantine is None:
            # Not warmed: a broker that does not answer would keep all lanes waiting, at every probe of one of them.
            self._quarantine = self._make_cold(True)
        return self._quarantine

    @property
    def outstanding(self) -> int:
        """Reports to wait for in a round; those of the other producers come when they come."""
        return self.main.outstanding

    @property
    def expecting(self) -> bool:
        """Whether any report is still to come."""
        return any(sender.outstanding for sender in (self.main, *self._others()))

    def poll(self) -> None:
        """Serves the delivery reports that are there."""
        for sender in (*self._others(), self.main):
            self._serve(sender)

    def wait(self, timeout: float) -> None:
        """Serves delivery reports of all producers; waits on the one for all, if anything is outstanding there."""
        for sender in self._others():
            self._serve(sender)
        self.main.wait(timeout)
        self._refuse_fatal(self.main)

    def usable(self, busy: Iterable[Lane], now: float) -> bool:
        """Whether there is a broker to publish to; deals with overdue reports on the way."""
        self.judge(busy, now)
        if self.main.broker_suspect_since is not None:
            self._ask_for_the_broker(self.main.broker_suspect_since)
        outage = self._topics.alive is False
        if outage != self._topics.watching:
            self._topics.watching = outage
            metrics.BROKER_DOWN.set(outage)
            self._on_outage(outage)
            if not outage:
                self._warm(self.main)
        return not outage

    def judge(self, busy: Iterable[Lane], now: float) -> None:
        """Finds lanes whose reports are overdue: first the broker is asked, then producers change, then we purge."""
        if self._retired:
            self._close_empty()
        stuck = [lane for lane in busy if lane.outstanding and now - lane.produced_at > self._suspect_after]
        if not stuck:
            return
        self._topics.ping()
        late = [lane for lane in stuck if now - lane.produced_at > self._deadline]
        if late:
            self._purge(late, now)
        elif self.answers(min(lane.produced_at for lane in stuck)) and any(lane.sender is self.main for lane in stuck):
            self._retired.append(self.main)
            self.main = self._make_main()

    def answers(self, produced_at: float) -> bool:
        """Whether the broker still answers, while what was produced then (monotonic seconds) stays without report."""
        return self._topics.alive is True and self._answered_since(produced_at + self._suspect_after)

    def _answered_since(self, moment: float) -> bool:
        return self._topics.last_answer is not None and self._topics.last_answer > moment

    def purge_all(self) -> None:
        """Nothing of ours may be delivered from now on: the lanes may be another's."""
        for sender in (*self._others(), self.main):
            with suppress(Exception):
                sender.purge_and_close(0.5)

    def close(self) -> None:
        for sender in (*self._others(), self.main):
            sender.purge_and_close(1.0)

    def _make_main(self) -> Sender:
        sender = self._make_cold(False)
        if self._topics.alive:
            self._warm(sender)
        return sender

    def _warm(self, sender: Sender) -> None:
        sender.warm(topic=self._topics.any_ok())

    def _others(self) -> list[Sender]:
        return self._retired if self._quarantine is None else [*self._retired, self._quarantine]

    def _serve(self, sender: Sender) -> None:
        sender.poll(0)
        self._refuse_fatal(sender)

    def _refuse_fatal(self, sender: Sender) -> None:
        if sender.fatal is not None:
            raise ProducerLost(f"The producer cannot go on: {sender.fatal.str()}.")

    def _ask_for_the_broker(self, suspect_since: float) -> None:
        if self._answered_since(suspect_since):
            self.main.trust()
        else:
            self._topics.ping()

    def _purge(self, late: list[Lane], now: float) -> None:
        for lane in late:
            lane.suspect_until = now + QUARANTINE_SECONDS if self._topics.alive else 0.0
        for sender in {lane.sender for lane in late if lane.sender is not None}:
            if sender is self.main:
                self.main = self._make_main()
            elif sender is self._quarantine:
                self._quarantine = None
            elif sender in self._retired:
                self._retired.remove(sender)
            if sender.purge_and_close(1.0):
                # Their lanes would wait for them for ever.
                raise ProducerLost("The producer gave no report of what it was told to give up.")

    def _close_empty(self) -> None:
        for sender in [sender for sender in self._retired if not sender.outstanding]:
            self._retired.remove(sender)
            sender.purge_and_close(1.0)
