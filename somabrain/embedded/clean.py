"""Stops the servers of this checkout, whoever uses them, for `make clean` to remove their data."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from somabrain.embedded import broker, postgres

_STOP_SECONDS = 40


def main() -> None:
    _stop_broker()
    postgres.stop()


def _stop_broker() -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while (notice := broker.running()) is not None and time.monotonic() < deadline:
        with suppress(ProcessLookupError):
            os.kill(notice.pid, signal.SIGTERM)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
