"""SIGTERM and SIGINT as something that a loop looks at: a handler that took a lock could wait for itself."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Self

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Counts both while the block runs, instead of ending the process."""

    def __init__(self) -> None:
        self.count = 0
        self._last = signal.SIGTERM.value
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _NUMBERS:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def obey(self) -> None:
        """End the process as the last of them would have, had it not been caught."""
        signal.signal(self._last, signal.SIG_DFL)
        os.kill(os.getpid(), self._last)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self._last = number
