"""Who is to blame for a failed delivery: nobody, the topic, or the tenant. Topics are not tenants: many share one."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from outbox.relay.failures import Disposition, FailureClass

WINDOW_SECONDS = 120.0
"""For how long a failure on a topic is held against the topic, once another tenant fails on it as well."""
GRACE_SECONDS = 0.5
"""Trouble of a topic that is younger is nobody's: other tenants, held by other relays, may be about to meet it."""
MOST_TOPICS = 10_000


class Blame(enum.Enum):
    NOBODY = "nobody"
    """The event itself, the cluster, the process, or not known."""
    TOPIC = "topic"
    """It fails for several tenants: its events wait for it, and no circuit moves."""
    TENANT = "tenant"


def may_be_blamed(failure: FailureClass, disposition: Disposition) -> bool:
    """Whether a failure says anything about its tenant or topic.

    Poison says something about its event alone. What burns no attempt is nobody's fault: the broker was gone, or a
    time-out came while no metadata probe was answered.
    """
    burned = disposition in (Disposition.RETRY, Disposition.DEAD)
    return burned and failure in (FailureClass.TOPIC, FailureClass.AMBIGUOUS)


def blame(*, suspect: bool, tenants: int, age: float, again: bool = False) -> Blame:
    """`tenants`: how many have failed on the topic lately; `age`: for how many seconds the topic has been in trouble.

    `again`: whether this tenant is known to be in trouble already, its circuit not closed.
    """
    if not suspect:
        return Blame.NOBODY
    if tenants > 1:
        return Blame.TOPIC
    return Blame.TENANT if again or age >= GRACE_SECONDS else Blame.NOBODY


class TopicTrouble:
    """Which tenants failed on which topics lately. Moments are seconds of the caller's clock. Not safe for threads."""

    def __init__(self) -> None:
        self._tenants: dict[str, dict[str, float]] = {}
        self._since: dict[str, float] = {}
        self._asked: dict[str, float] = {}

    def note(self, topic: str, tenant: str, now: float) -> None:
        known = self._tenants.setdefault(topic, {})
        if not any(now - at < WINDOW_SECONDS for at in known.values()):
            known.clear()
            self._since[topic] = now
        known[tenant] = now
        if len(self._tenants) > MOST_TOPICS:
            self._forget_old(now)

    def tenants(self, topic: str, now: float) -> int:
        return sum(now - at < WINDOW_SECONDS for at in self._tenants.get(topic, {}).values())

    def age(self, topic: str, now: float) -> float:
        return now - self._since.get(topic, now)

    def to_ask_for(self, topics: Iterable[str], now: float, *, every: float) -> list[str]:
        """Topics that only one tenant is known to fail on, and of which the database was not asked lately."""
        asked = [
            topic
            for topic in topics
            if self.tenants(topic, now) < 2 and now - self._asked.get(topic, float("-inf")) >= every
        ]
        self._asked.update(dict.fromkeys(asked, now))
        return asked

    def _forget_old(self, now: float) -> None:
        old = [topic for topic in self._tenants if not self.tenants(topic, now)]
        for topic in old or list(self._tenants)[:-MOST_TOPICS]:
            del self._tenants[topic]
            self._since.pop(topic, None)
            self._asked.pop(topic, None)
