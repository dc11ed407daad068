"""How far a run of the demo has come, from the outbox itself."""

from __future__ import annotations

import time
from dataclasses import dataclass

from outbox.models import EventStatus, OutboxEvent
from somabrain.demo import trouble
from somabrain.demo.application import Application

# Each is found by the index over status; what is sent is the rest, and the larger part.
_NOT_SENT = tuple(status for status in EventStatus.values if status != EventStatus.SENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Numbers of events; `rate` is published events per second since the look before.

    `blocked` are those that wait behind an open circuit; they are not among the pending ones.
    """

    committed: int
    published: int
    pending: int
    dead: int
    rate: float
    blocked: int = 0

    def line(self) -> str:
        blocked = f"  circuit open: {trouble.TENANT}, {self.blocked:,} blocked" if self.blocked else ""
        dead = f"  dead letters {self.dead:,}" if self.dead else ""
        return (
            f"committed {self.committed:,}  published {self.published:,}  "
            f"pending {self.pending:,}  rate {self.rate:,.0f}/s{blocked}{dead}"
        )


class Observer:
    """Looks at one run."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._published = 0
        self._at = time.monotonic()

    def look(self) -> Progress:
        """Where the run stands now."""
        committed = self._application.committed
        pending, blocked, dead = self._unsent()
        published = committed - pending - blocked - dead
        now = time.monotonic()
        rate = (published - self._published) / max(now - self._at, 1e-6)
        self._published, self._at = published, now
        return Progress(
            committed=committed, published=published, pending=pending, blocked=blocked, dead=dead, rate=rate
        )

    def _unsent(self) -> tuple[int, int, int]:
        barred = trouble.behind_open_circuits()
        ours = OutboxEvent.objects.filter(status__in=_NOT_SENT, dedupe_key__startswith=self._application.name)
        events = list(ours.values_list("status", "tenant_id"))
        dead = sum(status in (EventStatus.FAILED, EventStatus.DISCARDED) for status, _ in events)
        blocked = sum(
            tenant in barred and status in (EventStatus.PENDING, EventStatus.SCHEDULED) for status, tenant in events
        )
        return len(events) - dead - blocked, blocked, dead
