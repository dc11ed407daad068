"""What a relay has done since it last wrote it down: per minute and tenant, in memory.

The relay's thread adds a settle at a time, another one takes what has come together. It outlives the relay, so that its
successor in the process writes what it could not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from circuits.names import OTHER_TENANTS
from outbox.latency import BUCKETS, spread
from outbox.minutes import MOST_TENANTS, Counts
from outbox.relay.spans import Span

if TYPE_CHECKING:
    from outbox.relay.settle import Settle

MINUTE_US = 60_000_000
MOST_MINUTES = 15
"""What could not be written for longer than this is forgotten, the oldest first."""
SEAT_MINUTES = 15
"""A tenant keeps its row for so long after its last event."""

Minutes = Mapping[int, Mapping[str, Counts]]
"""Minutes since 2000-01-01 UTC, and what happened in them."""


@dataclass(slots=True)
class Ledger:
    """Safe for threads."""

    _minutes: dict[int, dict[str, Counts]] = field(default_factory=dict)
    _seats: dict[str, int] = field(default_factory=dict)
    """The tenants that have a row of their own, and their last minute."""
    _cleared: int = 0
    """The minute in which seats were last cleared."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, job: Settle) -> None:
        """A settle that has committed."""
        if not (job.acknowledged or job.failed):
            return
        minute = job.at // MINUTE_US
        with self._lock:
            rows = self._minutes.get(minute)
            if rows is None:
                rows = self._minutes[minute] = {}
                self._forget_old()
            for lane in job.acknowledged:
                row = rows.get(lane.tenant) or self._row(rows, lane.tenant, minute)
                row.sent += len(lane.ids)
                _add_latencies(row.latency, lane.spans, job.at)
            for event in job.failed:
                row = self._row(rows, event.tenant, minute)
                row.failed_attempts += 1
                row.failed += event.delay is None

    def take(self) -> Minutes:
        """Everything so far; it is the caller's now."""
        with self._lock:
            taken, self._minutes = self._minutes, {}
        return taken

    def give_back(self, minutes: Minutes) -> None:
        """What could not be written."""
        with self._lock:
            for minute, rows in minutes.items():
                mine = self._minutes.setdefault(minute, {})
                for tenant, counts in rows.items():
                    mine.setdefault(tenant, Counts())
                    mine[tenant] += counts
            self._forget_old()

    def _forget_old(self) -> None:
        for minute in sorted(self._minutes)[:-MOST_MINUTES]:
            del self._minutes[minute]

    def _row(self, rows: dict[str, Counts], tenant: str, minute: int) -> Counts:
        name = tenant if tenant in rows or self._has_seat(tenant, minute) else OTHER_TENANTS
        row = rows.get(name)
        if row is None:
            row = rows[name] = Counts(latency=[0] * BUCKETS)
        return row

    def _has_seat(self, tenant: str, minute: int) -> bool:
        if tenant not in self._seats and len(self._seats) >= MOST_TENANTS:
            # Once a minute: there may be thousands who ask.
            if minute != self._cleared:
                self._clear_seats(minute)
            if len(self._seats) >= MOST_TENANTS:
                return False
        self._seats[tenant] = minute
        return True

    def _clear_seats(self, minute: int) -> None:
        self._cleared = minute
        self._seats = {name: last for name, last in self._seats.items() if last >= minute - SEAT_MINUTES}


def _add_latencies(latency: list[int], spans: Iterable[Span], at: int) -> None:
    for first, last, events in spans:
        # The common case, a thousand times a round with as many tenants: what `spread` would do, without the call.
        place = ((at - first - 1) // 1_000).bit_length()
        if place == ((at - last - 1) // 1_000).bit_length() and place < BUCKETS and last < at:
            latency[place] += events
        else:
            spread(latency, shortest=at - last, longest=at - first, events=events)
