"""Hearing what others tell by NOTIFY, in a thread and a session of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from outbox import wakeup
from outbox.relay import circuit
from outbox.relay.session import Connection, connect


class Listener:
    """Hears which tenants have committed. A hint only: polling finds what it misses."""

    def __init__(self, *, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._stop = threading.Event()
        self._heard: deque[tuple[str, str] | BaseException] = deque()
        self._connection: Connection = connect("listen")
        self._connection.execute(f"LISTEN {wakeup.CHANNEL}", prepare=False)
        self._connection.execute("LISTEN outbox_policy", prepare=False)
        self._connection.execute(f"LISTEN {wakeup.LANES_CHANNEL}", prepare=False)
        self._connection.execute(f"LISTEN {circuit.CHANNEL}", prepare=False)
        self._thread = threading.Thread(target=self._work, name="outbox-listen", daemon=True)
        self._thread.start()

    def heard(self) -> list[tuple[str, str]]:
        """(channel, payload) since the last call."""
        found = []
        while self._heard:
            item = self._heard.popleft()
            if isinstance(item, BaseException):
                raise item
            found.append(item)
        return found

    @property
    def waiting(self) -> bool:
        """Whether there is something to hear."""
        return bool(self._heard)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        self._connection.close()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                for notice in self._connection.notifies(timeout=0.25, stop_after=1):
                    self._heard.append((notice.channel, notice.payload))
                    self._wake()
        except BaseException as error:  # handed to the relay's thread
            self._heard.append(error)
            self._wake()
