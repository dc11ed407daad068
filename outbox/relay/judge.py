"""Finds out whose fault the failures of a settle are, before it is written: an attempt may be spared."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

from outbox import conf, sql
from outbox.relay.blame import GRACE_SECONDS, WINDOW_SECONDS, Blame, TopicTrouble, blame
from outbox.relay.failures import HOLDING
from outbox.relay.session import Connection, query
from outbox.relay.settle import Failed, Settle

MOST_ATTEMPTS = 1_000
"""How many of the last failed attempts are looked at for what other relays have met."""
ASK_SECONDS = GRACE_SECONDS
"""How often they are looked at for one topic: no rarer, or grace would end with what was known when it began."""
MOST_HELD_SECONDS = WINDOW_SECONDS / 2
"""How long an event is held at a time: so that within each window every tenant is seen to fail."""


class Judge:
    """Belongs to the settle thread. While nothing fails it is not asked."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, draw: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._draw = draw
        self._trouble = TopicTrouble()

    def judge(self, connection: Connection, job: Settle) -> None:
        """Takes out of the job what burns no attempt, holds what waits for a topic, and completes the job's reports."""
        suspects = {(event.topic, event.tenant) for event in job.failed if event.suspect}
        if not suspects:
            return
        now = self._clock()
        for topic, tenant in suspects:
            self._trouble.note(topic, tenant, now)
        self._ask_the_database(connection, {topic for topic, _ in suspects}, now)
        verdicts = [(event, self._blame(event, now)) for event in job.failed]
        blamed = [event for event, verdict in verdicts if verdict is Blame.TENANT]
        for report in job.reports:
            report.failed = [event.error_class for event in blamed if event.tenant == report.tenant]
        spared = {event.event_id for event in blamed if event.spared}
        job.failed = [
            self._held(event, now) if verdict is Blame.TOPIC and event.code in HOLDING else event
            for event, verdict in verdicts
            if event.event_id not in spared
        ]

    def _held(self, event: Failed, now: float) -> Failed:
        """Tried again the later the longer the topic is in trouble, and no dead letter however often."""
        settings = conf.get()
        most = min(MOST_HELD_SECONDS, settings.backoff_max_seconds)
        least = min(most, settings.backoff_base_seconds)
        delay = max(least, min(most, self._trouble.age(event.topic, now))) * (0.5 + self._draw() / 2)
        return replace(event, held=True, delay=delay)

    def _ask_the_database(self, connection: Connection, topics: set[str], now: float) -> None:
        asked = self._trouble.to_ask_for(sorted(topics), now, every=ASK_SECONDS)
        if asked:
            params = {"topics": asked, "seconds": WINDOW_SECONDS, "most": MOST_ATTEMPTS}
            for topic, tenant in query(connection, sql.load("failed_lately"), params):
                self._trouble.note(topic, tenant, now)

    def _blame(self, event: Failed, now: float) -> Blame:
        return blame(
            suspect=event.suspect,
            tenants=self._trouble.tenants(event.topic, now),
            age=self._trouble.age(event.topic, now),
            again=event.spared,
        )
