"""File locks that the kernel drops when their last holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for the lock, and hold it alone."""
    held = _open(path)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def share(path: Path) -> int:
    """Wait for the lock, and hold it beside others until we and all forked children close the descriptor."""
    held = _open(path)
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def take(path: Path) -> int | None:
    """Hold the lock alone until the descriptor returned is closed; None when somebody holds it."""
    held = _open(path)
    # Whoever asks `is_held` has it for an instant, which is not a reason to give up.
    for _ in range(20):
        if _try(held, fcntl.LOCK_EX):
            return held
        time.sleep(0.01)
    os.close(held)
    return None


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock alone at this moment."""
    if not path.exists():
        return False
    held = _open(path)
    try:
        return not _try(held, fcntl.LOCK_SH)
    finally:
        os.close(held)


def _try(held: int, kind: int) -> bool:
    try:
        fcntl.flock(held, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
