"""What the application goes through: once, to be compared, or on and on, to be looked at."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from outbox.kafka.config import client_config
from somabrain.demo import broker_topics, trouble, webhooks
from somabrain.demo.application import Application
from somabrain.demo.comparison import Comparison, Reader
from somabrain.demo.progress import Observer, Progress

Say = Callable[[str], None]

_PATIENCE = 60.0
_LOOK_SECONDS = 0.05

_LINE_SECONDS = 1.0
_GENTLE_SECONDS = 0.2
_BURST_SECONDS = 10.0
_BURST = 300
_LOCKED_OUT_SECONDS = 0.5
# The tenant with the most webhooks makes the noise.
_NOISY = "codertocat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a single run ended."""

    committed: int
    published: int
    comparison: Comparison
    seconds: float

    @property
    def holds(self) -> bool:
        return self.committed == self.published and self.comparison.holds

    def line(self) -> str:
        return json.dumps(
            {
                "committed": self.committed,
                "published": self.published,
                "missing": self.comparison.missing,
                "duplicates": self.comparison.duplicates,
                "order_inversions": self.comparison.order_inversions,
                "seconds": round(self.seconds, 3),
            }
        )


def once() -> Outcome:
    """Receive every webhook, wait until all is published, consume it and compare."""
    config, topics = client_config(), webhooks.topics()
    broker_topics.create(config, topics)
    reader = Reader(config, topics)
    begin = time.monotonic()
    application = Application()
    committed = [application.receive(webhook) for webhook in webhooks.recorded()]
    published = _wait_until_published(Observer(application)).published
    seconds = time.monotonic() - begin
    comparison = reader.compare(committed, prefix=application.name)
    reader.close()
    return Outcome(committed=len(committed), published=published, comparison=comparison, seconds=seconds)


def on_and_on(say: Say) -> None:
    """Receive every webhook, then a few a second, and a burst of one tenant now and then; never returns.

    Another tenant's topic is refused at first, if the broker is the demo's own mock broker.
    """
    broker_topics.create(client_config(), webhooks.topics())
    application = Application()
    observer = Observer(application)
    line = _Rhythm(_LINE_SECONDS, lambda: say(observer.look().line()))
    locked_out = _Rhythm(_LOCKED_OUT_SECONDS, lambda: trouble.receive(application))
    for webhook in webhooks.recorded():
        application.receive(webhook)
        locked_out.keep()
        line.keep()
    steady = itertools.cycle(webhooks.recorded())
    noise = itertools.cycle([each for each in webhooks.recorded() if each.tenant_id == _NOISY])
    gentle = _Rhythm(_GENTLE_SECONDS, lambda: application.receive(next(steady)))
    burst = _Rhythm(_BURST_SECONDS, lambda: application.receive_burst([next(noise) for _ in range(_BURST)]))
    while True:
        time.sleep(min(each.keep() for each in (gentle, burst, locked_out, line)))


class _Rhythm:
    """Something done in regular intervals, as far as there is time for it."""

    def __init__(self, interval: float, act: Callable[[], object]) -> None:
        self._interval = interval
        self._act = act
        self._due = time.monotonic() + interval

    def keep(self) -> float:
        """Act if it is time; returns the seconds until it is time again."""
        if time.monotonic() >= self._due:
            self._act()
            self._due = max(self._due + self._interval, time.monotonic())
        return max(0.0, self._due - time.monotonic())


def _wait_until_published(observer: Observer) -> Progress:
    """Until nothing is left, or nothing has moved for so long that nothing will."""
    progress = observer.look()
    moved = time.monotonic()
    while progress.pending and time.monotonic() - moved < _PATIENCE:
        time.sleep(_LOOK_SECONDS)
        before, progress = progress, observer.look()
        if progress.pending != before.pending:
            moved = time.monotonic()
    return progress
