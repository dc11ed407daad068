"""Late commits: events that become visible behind a lane's cursor.

`created_at` is taken when an event is inserted, but the event becomes visible when its transaction commits. An event of
a key may so appear behind the cursor just before its successor appears ahead of it. Therefore, between fetching the
newest events of a lane and producing them, the relay looks behind the lane's cursor; what it finds goes first.

How far behind: a sample names the transactions that may still commit events. Between two samples nothing can have
become visible that was created before the earlier sample, but for the events of transactions which were open then and
have ended since; and those were created no earlier than the transaction began. A transaction that stays open costs
nothing until it ends. Events older than all that could still be committed at the last look need none: draining a
backlog never looks behind.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from outbox import conf, sql
from outbox.relay.fetch import INLINE_BYTES, Batch
from outbox.relay.lanes import CREATED, ID, Lane, Row
from outbox.relay.session import Connection, numbers, query

SAMPLE_SECONDS = 1.0
BLIND_US = 10_000_000
"""How far a look goes back where other roles' sessions are hidden."""
BLIND_SECONDS = 10.0
"""How often lanes are then read from their beginning."""
MOST_BEHIND = 20_000
"""How many events a look may find, in all lanes together, with those that are under way."""
MOST_LATE = 5_000
"""How many late ones may be read at once. Lanes beyond go back, and read theirs in order, round by round."""

Writer = tuple[str, int | None, bool]
_WITHOUT_ID = "~"


@dataclass(frozen=True, slots=True)
class Sample:
    """The transactions that may still commit events, at one moment; times in microseconds since 2000-01-01 UTC."""

    writers: Mapping[str, int]
    """Transaction -> the earliest time at which it can have created an event."""
    db_now: int
    at: float
    """Monotonic clock at `db_now`."""
    blind: bool = False

    @property
    def safe(self) -> int:
        """Whatever was created before is visible to a statement begun after the sample."""
        return 0 if self.blind else max(0, min([self.db_now, *self.writers.values()]))

    def look_from(self, before: Sample) -> int:
        """What became visible since the sample `before`, and could not be seen then, was created at this or later."""
        if self.blind:
            return max(0, before.db_now - BLIND_US)
        return min([before.db_now, *_ended(before.writers, self.writers)])


def sample(rows: Iterable[Writer], *, at: float, before: Sample | None = None) -> Sample:
    """From the rows of writers.sql. Who was no writer at the sample `before` had created nothing by then."""
    (_, db_now, _), *writers = rows
    then: Mapping[str, int] = {} if before is None else before.writers
    begun = 0 if before is None else before.db_now
    of_session: dict[str, int] = {}
    for name, start in then.items():
        of_session[_session(name)] = min(start, of_session.get(_session(name), start))
    # Before it was prepared a transaction was a session's, and ended as that.
    prepared = min([begun, *_ended(then, {name for name, _, _ in writers})])
    starts = {
        name: then.get(name, prepared) if start is None else max(start, of_session.get(_session(name), begun))
        for name, start, hidden in writers
        if not hidden
    }
    return Sample(writers=starts, db_now=db_now or 0, at=at, blind=any(hidden for _, _, hidden in writers))


def _ended(then: Mapping[str, int], now: Container[str]) -> list[int]:
    """Since when those wrote that may have ended."""
    # A statement without a transaction id may have got one and ended, while its session runs another.
    return [start for name, start in then.items() if name not in now or name.startswith(_WITHOUT_ID)]


def _session(name: str) -> str:
    return name.removeprefix(_WITHOUT_ID).partition("/")[0]


class LookedBehind(NamedTuple):
    """What a lane is to produce: late events behind its cursor, then the rows ahead of it."""

    lane: Lane
    behind: list[Row]
    rows: list[Row]
    sample: Sample | None
    """The sample of the look, which counts once what was found behind is produced; None: no look was needed."""


class Lookout:
    """Takes samples and looks behind cursors. Belongs to the relay's thread and uses its session."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.latest = self._take(None)
        self._read_all_at = self.latest.at + BLIND_SECONDS

    def db_now(self, now: float) -> int:
        """The database's clock at `now` (monotonic), carried on from the latest sample."""
        return self.latest.db_now + int((now - self.latest.at) * 1e6)

    def refresh(self, now: float) -> None:
        if now - self.latest.at >= SAMPLE_SECONDS:
            self.latest = self._take(self.latest)

    def must_read_all(self, now: float) -> bool:
        """Whether lanes have to be read from their beginning: for what commits too late for a blind look to find."""
        if not self.latest.blind or now < self._read_all_at:
            return False
        self._read_all_at = now + BLIND_SECONDS
        return True

    def add_late(self, fetched: Iterable[Batch]) -> list[LookedBehind]:
        """Each lane's rows with its late events. Call it between their fetch and producing them.

        Late events are no predecessors of what was fetched, or the fetch would have seen them, but they may be
        successors of some of it: those ahead of the cursor take their place among the rows.
        """
        batches = list(fetched)
        suspects = [(lane, rows) for lane, rows in batches if not rows or rows[-1][CREATED] >= lane.safe]
        if not suspects:
            return [LookedBehind(lane, [], rows, None) for lane, rows in batches]
        seen, ids = self._look_until_whole(suspects)
        late = self._fetch(sorted(ids)) if ids else {}
        looked = {lane.tenant for lane, _ in suspects}
        return [
            _merged(lane, rows, late.get(lane.tenant, []), seen if lane.tenant in looked else None)
            for lane, rows in batches
        ]

    def _look_until_whole(self, suspects: list[Batch]) -> tuple[Sample, set[int]]:
        """The late events, and the sample taken before the look that found them.

        Of a transaction that commits between sample and look, the look may find the last events without the first. If
        it found any while such a transaction may have ended, it looks again, from the beginning of that one.
        """
        self.latest = self._take(self.latest)
        while True:
            seen = self.latest
            asked = [(lane, rows, seen.look_from(lane.looked)) for lane, rows in suspects if lane.looked]
            late = self._look(asked)
            oldest = min(seen.writers.values(), default=seen.db_now)
            if not late or all(since <= oldest for _, _, since in asked):
                return seen, late
            self.latest = self._take(seen)
            if all(lane.looked and self.latest.look_from(lane.looked) == since for lane, _, since in asked):
                return seen, late

    def _take(self, before: Sample | None) -> Sample:
        at = time.monotonic()
        rows = query(self._connection, sql.load("writers"))
        return sample([(row[0], row[1], row[2]) for row in rows], at=at, before=before)

    def _look(self, suspects: list[tuple[Lane, list[Row], int]]) -> set[int]:
        asked = [(lane, rows, since, _end(lane, rows)) for lane, rows, since in suspects]
        asked = [each for each in asked if each[2] <= each[3][0]]
        if not asked:
            return set()
        blocking = conf.get().dead_letter_blocks_key
        params = {
            "tenants": [lane.tenant for lane, *_ in asked],
            "since_us": numbers([since for _, _, since, _ in asked]),
            "upto_us": numbers([end[0] for *_, end in asked]),
            "upto_id": numbers([end[1] for *_, end in asked]),
            "careful": [lane.blocked is not False or blocking for lane, *_ in asked],
            "dead_letters_block": blocking,
            "most": MOST_BEHIND,
        }
        found = query(self._connection, sql.load("look_behind"), params)
        # Of the last lane there may be more, and of those after it nothing was read.
        whole = found[-1][0] - 1 if len(found) == MOST_BEHIND else len(asked)
        for lane, _, since, _ in asked[whole:]:
            lane.rewind(since)
        late: set[int] = set()
        for n, group in groupby(found, key=itemgetter(0)):
            lane, rows, since, _ = asked[n - 1]
            if n <= whole:
                ids = {row[1] for row in group} - lane.under_way() - {row[ID] for row in rows}
                if len(late) + len(ids) > MOST_LATE:
                    lane.rewind(since)
                else:
                    late |= ids
        return late

    def _fetch(self, ids: list[int]) -> dict[str, list[Row]]:
        rows = query(self._connection, sql.load("fetch_late"), {"inline": INLINE_BYTES, "ids": numbers(ids)})
        return {tenant: list(group) for tenant, group in groupby(rows, key=itemgetter(0))}


def _end(lane: Lane, rows: list[Row]) -> tuple[int, int]:
    """Up to where the lane will have read."""
    return (rows[-1][CREATED], rows[-1][ID]) if rows else (lane.cursor, lane.cursor_id)


def _merged(lane: Lane, rows: list[Row], late: list[Row], seen: Sample | None) -> LookedBehind:
    cursor = (lane.cursor, lane.cursor_id)
    behind = [row for row in late if _place(row) <= cursor]
    ahead = late[len(behind) :]
    return LookedBehind(lane, behind, sorted([*rows, *ahead], key=_place) if ahead else rows, seen)


_place = itemgetter(CREATED, ID)
