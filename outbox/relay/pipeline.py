"""Which settles are under way, and of which round each is."""

from __future__ import annotations

from outbox.relay.lanes import Lane
from outbox.relay.settle import Settle

MOST_SETTLES = 2
"""One that is written and one that waits for it, so that the settle thread goes from one to the next."""


class Pipeline:
    """Bounds what is produced and not settled: a round begins when nothing of those before the last one is left."""

    def __init__(self) -> None:
        self._round = 0
        self._settles: dict[int, tuple[int, list[Lane], int]] = {}

    @property
    def empty(self) -> bool:
        return not self._settles

    @property
    def full(self) -> bool:
        return len(self._settles) >= MOST_SETTLES

    @property
    def behind(self) -> bool:
        """Whether something of the rounds before this one is still being settled."""
        return any(begun < self._round for begun, _, _ in self._settles.values())

    @property
    def events(self) -> int:
        return sum(events for _, _, events in self._settles.values())

    def begin_round(self) -> None:
        self._round += 1

    def begin(self, job: Settle, lanes: list[Lane]) -> None:
        self._settles[id(job)] = self._round, lanes, job.events

    def end(self, job: Settle) -> list[Lane]:
        """It has committed; its lanes have taken note."""
        _, lanes, _ = self._settles.pop(id(job))
        for lane in lanes:
            lane.end_settle()
        return lanes
