"""What `MemoryService` answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What became of a write."""

    queued: bool
    """Whether it waits in the outbox; else the memory has it, or a newer one of the key."""
    event_id: int | None
    """The event in the outbox, if it waits."""
    version: int
    """Of two writes of a key, the one with the higher version is newer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the memory is, for one tenant."""

    ok: bool
    """Whether a call would be made now, and the memory answers."""
    backend: str
    """`ok`, or how the memory failed to answer."""
    circuit: str
    """`closed`, `open`, `half_open`, `forced_open` or `forced_closed`."""
    retry_after: float
    """Seconds until a call may be made."""
    waiting: int | None
    """Writes of the tenant that are not yet applied; None if the database does not answer."""
