"""What a relay knows of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the last renewal said of all relays together."""

    others: int = 0
    """Lanes that other relays hold."""
    waiting: int = 0
    least_virtual_time: float | None = None
    relays: int = 1
    others_level: float | None = None
    """Where the other relays' backlogged lanes stood on average, in virtual time."""
    everyone: str | None = None
    """The state of the circuit of all tenants, which mirrors the broker's outages; staff may force it open."""

    @classmethod
    def of(cls, found: tuple[Any, ...]) -> Fleet:
        """From the row of fleet.sql."""
        others, waiting, least, _, relays, others_level, everyone = found
        return cls(
            others=others,
            waiting=waiting,
            least_virtual_time=least,
            relays=max(1, relays),
            others_level=others_level,
            everyone=everyone,
        )
