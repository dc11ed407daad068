"""Tenants that are said to have work and whose lanes are not held here."""

from __future__ import annotations

from collections.abc import Iterable

from outbox.relay.lanes import UNLIMITED

MOST = 1_000
"""How many are asked for at a time."""
PATIENCE_SECONDS = 0.05
"""How long candidates wait for another relay, when this one has its part."""
REFUSED_SECONDS = 0.2
"""For how long somebody whose lane was not to be had is left alone."""


class Candidates:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        """Tenant -> the earliest time at which to ask for its lane."""
        self._refused: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        """What was offered within the time of a refusal -> the end of that time."""
        self._heard_due = UNLIMITED

    def add(self, tenant: str, *, now: float) -> None:
        """It is said to have work. Within the time of a refusal that is only taken note of."""
        until = self._refused.get(tenant, 0.0)
        if until <= now:
            self.at.setdefault(tenant, now)
        else:
            self._heard.setdefault(tenant, until)
            self._heard_due = min(self._heard_due, until)

    def refuse(self, tenants: Iterable[str], *, now: float) -> None:
        """Held by another relay, paused or above its rate: a busy one must not cost a claim for each of its commits."""
        for tenant in tenants:
            del self.at[tenant]
            self._refused[tenant] = now + REFUSED_SECONDS

    def free(self, tenants: Iterable[str], *, now: float) -> None:
        """Their lanes are nobody's now."""
        for tenant in tenants:
            self._refused.pop(tenant, None)
            self._heard.pop(tenant, None)
            self.at[tenant] = min(now, self.at.get(tenant, now))

    def ask_again(self) -> None:
        """Something has changed: what was refused may be granted now."""
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
            self.add(tenant, now=now)
        self._heard_due = min(self._heard.values(), default=UNLIMITED)

    def due(self, now: float) -> list[str]:
        """Those to ask for, the longest known first."""
        return [tenant for tenant, at in self.at.items() if at <= now][:MOST]

    def next_due(self) -> float:
        """When the next one is to be asked for."""
        return min([self._heard_due, *self.at.values()])

    def forget_old(self, now: float) -> None:
        self._refused = {tenant: until for tenant, until in self._refused.items() if until > now}
