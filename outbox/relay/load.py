"""How much a relay has to do, and so whether it leaves lanes to others."""

from __future__ import annotations

from collections.abc import Collection

from outbox.relay.fleet import Fleet
from outbox.relay.lanes import Lane


class Load:
    """Times are monotonic seconds. `room`: lanes that a relay may hold; `memory`: for how long a backlog that is over
    counts, or lanes would go to and fro with every burst.
    """

    def __init__(self, *, room: int, memory: float) -> None:
        self.backlogged = 0
        """Lanes held that have a backlog that lasts, or had one a moment ago; one at least without the broker."""
        self.stuck = False
        """Whether the broker does not answer."""
        self._room = room
        self._memory = memory
        self._apart = False

    def weigh(self, lanes: Collection[Lane], fleet: Fleet, now: float) -> None:
        """Takes note of which lanes have a backlog."""
        for lane in lanes:
            if lane.has_backlog(now):
                lane.counted, lane.laden_until = True, now + self._memory
            lane.laden = now < lane.laden_until
        self.backlogged = max(sum(lane.laden for lane in lanes), int(self.stuck))
        self._apart = self.hosts(fleet) < fleet.relays

    def hosts(self, fleet: Fleet) -> int:
        """How many relays are to hold lanes without a backlog."""
        return fleet.hosts(laden=self.backlogged > 0, room=self._room, apart=self._apart)

    def yields(self, fleet: Fleet) -> bool:
        """Whether it leaves lanes without a backlog to other relays: here they would wait for its rounds."""
        return self.backlogged > 0 and self.hosts(fleet) < fleet.relays
