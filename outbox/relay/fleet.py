"""What a relay knows of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ROOM_TO_SPARE = 0.9
"""Up to which part relays without a backlog may be full when they are to take all lanes without one."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the last renewal said of all relays together."""

    leased: int = 0
    """Lanes held by all."""
    backlogged: int = 0
    """Those of them with a backlog that lasts."""
    waiting: int = 0
    least_virtual_time: float | None = None
    relays: int = 1
    laden: int = 0
    """The other relays with a backlog that lasts."""
    others_level: float | None = None
    """Where the other relays' backlogged lanes stood on average, in virtual time."""
    others_pace: float = 0.0
    """Units of virtual time per second by which they were served there."""
    everyone: str | None = None
    """The state of the circuit of all tenants, which mirrors the broker's outages; staff may force it open."""

    def hosts(self, *, laden: bool, room: int, apart: bool) -> int:
        """How many relays are to hold the lanes without a backlog.

        Those that have none themselves, if there are any and all lanes find a place there: each has `room` for so many.
        `laden`: whether this one has a backlog that lasts; `apart`: whether it was so until now, and goes on for longer
        than it would begin.
        """
        without = self.relays - self.laden - laden
        enough = without * room * (1.0 if apart else ROOM_TO_SPARE)
        return without if without > 0 and self.leased <= enough else self.relays

    @classmethod
    def of(cls, found: tuple[Any, ...]) -> Fleet:
        """From the row of fleet.sql."""
        leased, backlogged, waiting, least, _, relays, laden, level, pace, everyone = found
        return cls(
            leased=leased,
            backlogged=backlogged,
            waiting=waiting,
            least_virtual_time=least,
            relays=max(1, relays),
            laden=laden,
            others_level=level,
            others_pace=pace or 0.0,
            everyone=everyone,
        )
