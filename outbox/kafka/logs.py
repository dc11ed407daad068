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


class ClientLog:
    """What a client of confluent_kafka takes for its logger. It never raises."""

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        heard: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._heard = heard
        self._clock = clock
        self._kinds: dict[str, tuple[float, int]] = {}

    def log(self, level: int, form: str, *arguments: Any) -> None:
        """Called by confluent_kafka, out of `poll`, with librdkafka's facility as the first argument."""
        try:
            kind = str(arguments[0]) if arguments else form
            if self._heard is not None:
                self._heard(kind)
            self.write(level, kind, form % arguments)
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
