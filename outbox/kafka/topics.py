"""Which topics may be published to, and whether the broker answers at all: asked aside, in nobody's way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException

from outbox.kafka.metadata import MetadataClient
from outbox.kafka.topic_book import SLOWLY_SECONDS, Question, TopicBook, TopicState

__all__ = ["TopicDirectory", "TopicState"]

logger = logging.getLogger(__name__)


class TopicDirectory:
    """Answers at once, from what a thread of its own has asked the broker through clients of its own.

    `config` is the operator's, as `client_config()` returns it. `on_change` is called from that thread when
    there is news. Create it after any fork, and close it.
    """

    def __init__(self, config: Mapping[str, Any], *, on_change: Callable[[], None] = lambda: None) -> None:
        self.last_answer: float | None = None
        """When the broker last answered a metadata request; monotonic seconds."""
        self.alive: bool | None = None
        """Whether it has answered the last one; None before the first has ended."""
        self._book = TopicBook()
        self.ok = self._book.ok
        """The topics that may be published to; for the hot loop, which only tests for membership."""
        self._on_change = on_change
        self._client = MetadataClient(config)
        self._news = threading.Condition()
        self._watching = False
        self._probe_due: float | None = None
        self._probed = float("-inf")
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="outbox-topics")
        self._thread.start()

    def state(self, topic: str) -> TopicState:
        """What is known about the topic; what is not known yet is asked for. Never waits for the broker."""
        if topic in self.ok:
            return TopicState.OK
        with self._news:
            state = self._book.state(topic, time.monotonic())
            self._news.notify()
            return state

    def any_ok(self) -> str | None:
        """A topic that may be published to, if one is known: to ask for all of them takes long on a large cluster."""
        with self._news:
            return next(iter(self.ok), None)

    def forget(self, topic: str) -> None:
        """Producing to the topic has failed, so it has to be asked for again."""
        with self._news:
            self._book.forget(topic)

    def ping(self) -> None:
        """Ask for one probe, whose answer shows in `last_answer` and `alive`."""
        with self._news:
            if self._probe_due is None:
                self._probe_due = max(time.monotonic(), self._probed + SLOWLY_SECONDS)
                self._news.notify()

    @property
    def watching(self) -> bool:
        """Whether to go on probing, four times a second, as during an outage."""
        return self._watching

    @watching.setter
    def watching(self, value: bool) -> None:
        self._watching = value
        if value:
            self.ping()

    def close(self, timeout: float = 2.0) -> None:
        """End the thread; waits up to `timeout` seconds for a request that is under way."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                if job():
                    self._on_change()
            except Exception:
                # Nobody else would ever ask again.
                logger.exception("A look at the broker's metadata failed.")
        self._client.close()

    def _next_job(self) -> Callable[[], bool] | None:
        """Waits until there is something to do. None: it is time to end."""
        with self._news:
            while not self._closing:
                now = time.monotonic()
                if self._probe_due is not None and self._probe_due <= now:
                    return self._probe
                self._book.expire(now)
                question = self._book.take(now)
                if question is not None:
                    return lambda: self._ask(question)
                dues = [due for due in (self._probe_due, self._book.next_due()) if due is not None]
                self._news.wait(max(min(dues) - now, 0) if dues else None)
            return None

    def _ask(self, question: Question) -> bool:
        try:
            code = self._client.ask(question.topic)
        except KafkaException:
            with self._news:
                self._book.postpone(question, time.monotonic())
            return self._hear(False)
        self._hear(True)
        with self._news:
            return self._book.record(question, code, time.monotonic())

    def _probe(self) -> bool:
        try:
            answered = self._client.probe(topic=self.any_ok())
        finally:
            with self._news:
                self._probed = time.monotonic()
                self._probe_due = self._probed + SLOWLY_SECONDS if self._watching else None
        self._hear(answered)
        return True

    def _hear(self, answered: bool) -> bool:
        changed = self.alive is not answered
        if answered:
            self.last_answer = time.monotonic()
        self.alive = answered
        return changed
