"""librdkafka's log lines, among Python's: no secrets, and not the same line a hundred times."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from outbox.kafka.config import redact

logger = logging.getLogger("outbox.kafka")

QUIET_SECONDS = 10.0
"""A line of one kind is written once in this time; the next one says how many were left out."""

# librdkafka counts from 0, emergency, to 7, debug; confluent_kafka translates for us.
_LEVELS = (50, 50, 50, logging.ERROR, logging.WARNING, logging.INFO, logging.INFO, logging.DEBUG)


class ClientLog:
    """What a client of confluent_kafka takes for its logger. It never raises.

    `config` is the client's; `heard` is told the facility and the text of every line, written or not.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        heard: Callable[[str, str], None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._level = logging.DEBUG if config.get("debug") else _LEVELS[int(config.get("log_level", 6))]
        self._heard = heard
        self._clock = clock
        self._kinds: dict[str, tuple[float, int]] = {}

    def log(self, level: int, form: str, *arguments: Any) -> None:
        """Called by confluent_kafka, out of `poll`; the arguments are facility, client and text."""
        try:
            facility, _, text = arguments
            self._heard(facility, text)
            if level >= self._level:
                self.write(level, facility, form % arguments)
        except Exception:
            logger.exception("A line of librdkafka's log was lost.")

    def write(self, level: int, kind: str, line: str) -> None:
        """Log the line, unless one of its kind was logged just now."""
        now = self._clock()
        since, left_out = self._kinds.get(kind, (float("-inf"), 0))
        if now - since < QUIET_SECONDS:
            self._kinds[kind] = (since, left_out + 1)
            return
        self._kinds[kind] = (now, 0)
        more = f" ({left_out} more like this before)" if left_out else ""
        logger.log(level, "%s%s", redact(line, self._config), more)
