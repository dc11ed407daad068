"""How many workers of a host run a relay: each holds a locked file, whose lock the kernel drops when it dies."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from outbox.errors import OutboxError


class HostSlots:
    """So many slots for one purpose on this host, or in this container, among processes of one user."""

    def __init__(self, *, limit: int, purpose: str, directory: Path | None = None) -> None:
        self._limit = limit
        self._name = hashlib.sha256(purpose.encode()).hexdigest()[:16]
        self._directory = directory or Path(tempfile.gettempdir()) / f"outbox-{os.getuid()}"
        self._held: int | None = None

    def take(self) -> bool:
        """Whether this process has a slot now. It keeps it until it ends, and children do not inherit it.

        Raises `OutboxError` when somebody else owns the directory of the slots.
        """
        if self._held is None:
            self._make_directory()
            self._held = next((file for slot in range(self._limit) if (file := self._try(slot)) is not None), None)
        return self._held is not None

    def _try(self, slot: int) -> int | None:
        file = os.open(self._directory / f"{self._name}-{slot}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            # Not flock, which a forked child would go on holding.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return None
        return file

    def _make_directory(self) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        found = self._directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise OutboxError(f"{self._directory} is not a private directory of this user: remove it.")
