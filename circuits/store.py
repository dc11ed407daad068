"""Circuits as the database has them. A write says who won; nobody waits for anybody else's call."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from circuits import conf, machine, sql
from circuits.errors import StoreUnavailable
from circuits.events import CircuitState, Effect, Event, Override, Phase, Transition
from circuits.metrics import TRANSITIONS
from circuits.names import Key
from circuits.policy import THRESHOLDS, Policy
from circuits.session import Connection, Session, run

# Each attempt that loses is one that somebody else has won, so this many in a row are no ordinary race.
_MOST_ATTEMPTS = 100

_STATE_COLUMNS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One circuit at one moment, by the database's clock."""

    state: CircuitState
    policy: Policy
    revision: int | None
    """None without a row."""
    now: datetime


class Store:
    """Reads and moves circuits on a session of its own. Safe for threads; a caller's transaction plays no part."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._chance = random.SystemRandom().random

    def read(self, key: Key) -> Reading:
        """One circuit. Raises `StoreUnavailable`."""
        return self.read_many([key])[key]

    def read_many(self, keys: Iterable[Key]) -> dict[Key, Reading]:
        """Circuits in one statement. Raises `StoreUnavailable`."""
        return _readings(self._session.query(sql.load("read"), _keys(keys)))

    def apply(self, key: Key, events: Sequence[Event]) -> tuple[Reading, tuple[Effect, ...]]:
        """What becomes of the circuit, and what follows. Nothing is written if nothing changes.

        Raises `StoreUnavailable`.
        """
        chance = self._chance()
        for _ in range(_MOST_ATTEMPTS):
            before = self.read(key)
            state, effects = _steps(before, events, chance)
            if state == before.state:
                return before, effects
            revision = self._write(key, before.revision, state, effects)
            if revision is not None:
                _count(key, effects)
                return Reading(state=state, policy=before.policy, revision=revision, now=before.now), effects
        raise StoreUnavailable(f"Circuit {key[1]!r} of tenant {key[0]!r} is written by too many at once.")

    def _write(self, key: Key, revision: int | None, state: CircuitState, effects: Iterable[Effect]) -> int | None:
        """The new revision, None if somebody else was first."""
        statement = sql.load("insert" if revision is None else "update")
        rows = self._session.query(
            statement,
            {
                **asdict(state),
                "tenant_id": key[0],
                "name": key[1],
                "revision": revision,
                "transitions": json.dumps([_as_row(each) for each in effects if isinstance(each, Transition)]),
            },
        )
        return rows[0][0] if rows else None


def read_by(connection: Connection, keys: Iterable[Key]) -> dict[Key, Reading]:
    """Circuits in one statement, on the given session. Raises psycopg's errors."""
    return _readings(run(connection, sql.load("read"), _keys(keys)))


def _steps(before: Reading, events: Sequence[Event], chance: float) -> tuple[CircuitState, tuple[Effect, ...]]:
    state, effects = before.state, list[Effect]()
    for event in events:
        state, more = machine.step(state, before.policy, event, now=before.now, chance=chance)
        effects += more
    return state, tuple(effects)


def _count(key: Key, effects: Iterable[Effect]) -> None:
    for each in effects:
        if isinstance(each, Transition):
            TRANSITIONS.labels(key[1], each.to_state).inc()


def _keys(keys: Iterable[Key]) -> dict[str, list[str]]:
    given = list(keys)
    return {"tenants": [tenant for tenant, _ in given], "names": [name for _, name in given]}


def _readings(rows: Iterable[tuple[Any, ...]]) -> dict[Key, Reading]:
    defaults = conf.policy()
    return {(row[0], row[1]): _reading(row, defaults) for row in rows}


def _reading(row: tuple[Any, ...], defaults: Policy) -> Reading:
    _, _, revision, now, *columns = row
    if revision is None:
        return Reading(state=CircuitState(), policy=defaults, revision=None, now=now)
    thresholds = dict(zip(THRESHOLDS, columns[_STATE_COLUMNS:], strict=True))
    return Reading(
        state=_state(columns[:_STATE_COLUMNS]),
        policy=defaults.with_changes(thresholds),
        revision=revision,
        now=now,
    )


def _state(columns: Sequence[Any]) -> CircuitState:
    phase, epoch, failures, last_failure_at, trips, opened_at, open_until, probe_until, successes, *rest = columns
    closed_at, override, by, reason, until = rest
    return CircuitState(
        phase=Phase(phase),
        epoch=epoch,
        failures=failures,
        last_failure_at=last_failure_at,
        trips=trips,
        opened_at=opened_at,
        open_until=open_until,
        probe_until=probe_until,
        probe_successes=successes,
        closed_at=closed_at,
        override=Override(override),
        override_by=by,
        override_reason=reason,
        override_until=until,
    )


def _as_row(transition: Transition) -> dict[str, Any]:
    row = asdict(transition)
    row.update(row.pop("origin"), at=transition.at.isoformat(), until=transition.until and transition.until.isoformat())
    return row
