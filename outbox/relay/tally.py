"""What a relay has done, for its summary, for metrics and for the minutes of charts."""

from __future__ import annotations

from outbox.relay import metrics
from outbox.relay.ledger import Ledger
from outbox.relay.settle import Settle


class Tally:
    """Belongs to the relay's thread; others only read the numbers."""

    def __init__(self, ledger: Ledger) -> None:
        self.published = self.failed_attempts = self.dead_letters = self.lanes_lost = 0
        self._ledger = ledger

    def settled(self, job: Settle) -> None:
        """It has committed."""
        published = sum(len(lane.ids) for lane in job.acknowledged)
        self.published += published
        metrics.PUBLISHED.inc(published)
        metrics.SETTLE_SECONDS.observe(job.seconds)
        for event in job.failed:
            self.failed_attempts += 1
            metrics.FAILED_ATTEMPTS.labels(event.error_class).inc()
            if event.delay is None:
                self.dead_letters += 1
                metrics.DEAD_LETTERS.labels(event.error_class).inc()
        self._ledger.add(job)

    def lost(self) -> None:
        """A lane, to another relay."""
        self.lanes_lost += 1
        metrics.LANES_LOST.inc()
