"""How long a failed event waits before it is tried again."""

from __future__ import annotations

from collections.abc import Callable

# 2 ** 1023 is the last power of two that a float holds; any cap is reached long before.
_LARGEST_EXPONENT = 1_000


def delay(attempts: int, *, base: float, cap: float, random: Callable[[], float]) -> float:
    """Seconds to wait after `attempts` failed attempts, the first of which is 1.

    Exponential backoff with full jitter: anything from nothing up to `base` doubled at every further attempt,
    at most `cap`. `random` draws from [0, 1). Whole backlogs fail at one moment; to spread them matters more
    than a minimum wait: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    exponent = min(max(attempts, 1) - 1, _LARGEST_EXPONENT)
    return random() * min(cap, base * 2.0**exponent)
