"""For what other threads and processes do in their own time."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_SECONDS = 0.02


def wait_until(happened: Callable[[], object], *, timeout: float = 60, explain: Callable[[], object] = str) -> float:
    """Seconds until it was so. The time limit (seconds) is a guard against hanging; `explain` says what is known."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < timeout, f"not within {timeout} s: {happened}\n{explain()}"
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began
