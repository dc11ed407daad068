"""Keys for events that come without one: new in any case, and greater than those before."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from outbox.enqueueing.dedupe import new_key


def test_keys_grow_while_the_clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    keys = [new_key() for _ in range(10_000)]
    assert keys == sorted(set(keys))


def test_keys_grow_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_key()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert new_key() > before


def test_a_key_tells_its_time_in_milliseconds() -> None:
    milliseconds = time.time_ns() // 1_000_000
    told = int(new_key().replace("-", "")[:12], 16)
    assert 0 <= told - milliseconds < 60_000


def test_threads_never_share_a_key() -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: new_key(), range(10_000)))
    assert len(set(keys)) == 10_000
