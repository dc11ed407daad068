"""What a relay knows of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the last renewal said of all relays together."""

    leased: int = 0
    """Lanes held by all."""
    backlogged: int = 0
    """Those of them that have more than a round takes."""
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
        leased, backlogged, waiting, least, _, relays, others, everyone = found
        return cls(
            leased=leased,
            backlogged=backlogged,
            waiting=waiting,
            least_virtual_time=least,
            relays=max(1, relays),
            others_level=others,
            everyone=everyone,
        )
