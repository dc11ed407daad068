"""A topic that a broker for development refuses for a while, so that somebody can see what happens then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandParser

from circuits.terminal import values


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    topic: str
    seconds: float

    def arguments(self) -> list[str]:
        """As `add_arguments` reads them."""
        return ["--refuse", self.topic, "--refuse-seconds", str(self.seconds)]

    @contextmanager
    def while_it_lasts(self, *, refuse: Callable[[str], object], allow: Callable[[str], object]) -> Iterator[None]:
        """Refuse the topic now, and allow it from another thread once the time is over, if the block still runs."""
        refuse(self.topic)
        timer = threading.Timer(self.seconds, allow, [self.topic])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--refuse", metavar="TOPIC", help="refuse whoever writes to this topic, for a while")
    parser.add_argument(
        "--refuse-seconds", type=values.seconds, default=30.0, metavar="N", help="for so long (default: %(default)s)"
    )


def chosen(options: dict[str, Any]) -> Refusal | None:
    topic: str | None = options["refuse"]
    return None if topic is None else Refusal(topic=topic, seconds=options["refuse_seconds"])
