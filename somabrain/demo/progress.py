"""How far a run of the demo has come, from the outbox itself."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection
from django.db.models import Max

from outbox.models import EventStatus, OutboxEvent
from somabrain.demo import trouble
from somabrain.demo.application import Application

# Each is found by the index over status; what is sent is the rest, and the larger part.
_NOT_SENT = tuple(status for status in EventStatus.values if status != EventStatus.SENT)
_LATENCY_LOOKS = 10

# By the primary key: the events of the last few looks, however many there were before.
_LATENCY = """
SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM sent_at - created_at)::float8)
FROM outbox_events WHERE id > %s AND sent_at IS NOT NULL AND tenant_id <> %s AND starts_with(dedupe_key, %s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Numbers of events; `rate` is published events per second since the look before.

    `blocked` are those that wait behind an open circuit; they are not among the pending ones. `latency` is the p50 and
    the p99 from commit to acknowledgement, seconds, of what all but the tenant in trouble committed in the last looks.
    """

    committed: int
    published: int
    pending: int
    dead: int
    rate: float
    blocked: int = 0
    latency: tuple[float, float] | None = None

    def line(self) -> str:
        blocked = f"  circuit open: {trouble.TENANT}, {self.blocked:,} blocked" if self.blocked else ""
        dead = f"  dead letters {self.dead:,}" if self.dead else ""
        latency = "  p50 {:,.0f} ms, p99 {:,.0f} ms".format(*_in_ms(self.latency)) if self.latency else ""
        return (
            f"committed {self.committed:,}  published {self.published:,}  "
            f"pending {self.pending:,}  rate {self.rate:,.0f}/s{latency}{blocked}{dead}"
        )


class Observer:
    """Looks at one run."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._published = 0
        self._at = time.monotonic()
        self._newest = deque([self._newest_event()], maxlen=_LATENCY_LOOKS)

    def look(self) -> Progress:
        """Where the run stands now."""
        committed = self._application.committed
        pending, blocked, dead = self._unsent()
        published = committed - pending - blocked - dead
        now = time.monotonic()
        rate = (published - self._published) / max(now - self._at, 1e-6)
        self._published, self._at = published, now
        return Progress(
            committed=committed,
            published=published,
            pending=pending,
            blocked=blocked,
            dead=dead,
            rate=rate,
            latency=self._latency(),
        )

    def _latency(self) -> tuple[float, float] | None:
        with connection.cursor() as cursor:
            cursor.execute(_LATENCY, [self._newest[0], trouble.TENANT, self._application.name])
            (found,) = cursor.fetchone()
        self._newest.append(self._newest_event())
        return None if found is None else (found[0], found[1])

    def _newest_event(self) -> int:
        return OutboxEvent.objects.aggregate(newest=Max("pk"))["newest"] or 0

    def _unsent(self) -> tuple[int, int, int]:
        barred = trouble.behind_open_circuits()
        ours = OutboxEvent.objects.filter(status__in=_NOT_SENT, dedupe_key__startswith=self._application.name)
        events = list(ours.values_list("status", "tenant_id"))
        dead = sum(status in (EventStatus.FAILED, EventStatus.DISCARDED) for status, _ in events)
        blocked = sum(
            tenant in barred and status in (EventStatus.PENDING, EventStatus.SCHEDULED) for status, tenant in events
        )
        return len(events) - dead - blocked, blocked, dead


def _in_ms(seconds: Iterable[float]) -> list[float]:
    return [1_000 * each for each in seconds]
