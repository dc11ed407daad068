from __future__ import annotations

import os
import signal

import pytest

from outbox.management.stop_signals import StopSignals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_counted_and_end_nothing(number: int) -> None:
    with StopSignals() as signals:
        assert signals.count == 0
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert signals.count == 2


def test_afterwards_signals_mean_what_they_meant_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
