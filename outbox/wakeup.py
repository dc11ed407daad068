"""Waking relays by NOTIFY after a commit.

A hint and no promise: it may be lost, come late, or name tenants without work. Relays look by themselves as well.
NOTIFY takes a lock on the whole cluster at its commit, so it never stands in the application's transaction, and a
process sends at most one in `OUTBOX_NOTIFY_INTERVAL_SECONDS`, which names all tenants since the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from outbox.models.names import TENANT_MAX_LENGTH, TENANT_PATTERN

CHANNEL = "outbox_wake"
LANES_CHANNEL = "outbox_lanes"
"""On which relays tell which lanes they have given to others: their id, a space, and the tenants as in a wake-up."""
EVERYONE = "*"

# PostgreSQL takes payloads below 8,000 bytes.
_MOST_BYTES = 7_000
_is_tenant = re.compile(TENANT_PATTERN).fullmatch


def compose(tenants: Iterable[str]) -> str:
    """The payload that names these tenants, or everyone when it would be too long."""
    payload = ",".join(sorted(tenants))
    return payload if len(payload) <= _MOST_BYTES else EVERYONE


def parse(payload: str) -> frozenset[str] | None:
    """The tenants that a payload names, None for everyone. What names no tenant is left out: anyone can NOTIFY."""
    if payload == EVERYONE:
        return None
    return frozenset(name for name in payload.split(",") if len(name) <= TENANT_MAX_LENGTH and _is_tenant(name))


class Coalescer:
    """Turns many commits into few messages: one at once, then one at the end of each interval that had more.

    Knows no clock and no database: `now` is any monotonic time in seconds. Not thread-safe.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._tenants: set[str] = set()
        self._due = float("-inf")

    def offer(self, tenants: Iterable[str], now: float) -> str | None:
        """Note what was committed. Returns the payload to send now, or None: then `take` gives it later."""
        self._tenants.update(tenants)
        return self.take(now)

    def take(self, now: float) -> str | None:
        """The payload to send now, if something is left to say and the interval has passed."""
        if not self._tenants or now < self._due:
            return None
        payload = compose(self._tenants)
        self._tenants.clear()
        self._due = now + self.interval
        return payload

    def wait(self, now: float) -> float | None:
        """Seconds until `take` gives a payload, None when nothing is left to say."""
        return max(0.0, self._due - now) if self._tenants else None
