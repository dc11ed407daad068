"""Reading a round's events."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby
from operator import itemgetter

from outbox import conf, sql
from outbox.relay.lanes import ATTEMPTS, BYTES, HEADERS, ID, PAYLOAD, Lane, N, Row
from outbox.relay.session import Connection, numbers, query

INLINE_BYTES = 8_192
"""Payloads up to this size come with the fetch; larger ones are read when it is their turn."""
GROUP_BYTES = 2_000_000
"""How much of the larger ones is read at a time."""

_REPLAYED = '"replay": '
"""Stands in the headers of an event that an operator has made pending again, as PostgreSQL prints them."""

Batch = tuple[Lane, list[Row]]


def fetch(connection: Connection, lanes: list[Lane], quotas: list[int]) -> list[Batch]:
    """The next rows of each lane, at most its quota, past its cursor; lanes that returned none are left out."""
    dead_letters_block = conf.get().dead_letter_blocks_key
    plain: list[tuple[Lane, int]] = []
    careful: list[tuple[Lane, int]] = []
    for lane, quota in zip(lanes, quotas, strict=True):
        (careful if lane.blocked or dead_letters_block else plain).append((lane, quota))
    batches = _fetch(connection, "fetch", plain, {}) if plain else []
    if careful:
        batches += _fetch(connection, "fetch_careful", careful, {"dead_letters_block": dead_letters_block})
    return batches


def go_back_for_retries(connection: Connection, lanes: Iterable[Lane], *, replayed: Collection[Lane] = ()) -> None:
    """Sends lanes back in which a retry has become due: it stands behind the cursor, and its key is blocked no more.

    Whoever made it due has lowered the lane's floor with it. Call it after reading and before producing, or the key's
    successors might overtake it. `replayed` are lanes of which replayed events were read: older ones of the same key
    may have become pending with them.
    """
    dead_letters_block = conf.get().dead_letter_blocks_key
    careful = {lane.tenant: lane for lane in lanes if lane.blocked or dead_letters_block}
    careful.update((lane.tenant, lane) for lane in replayed)
    if careful:
        for tenant, floor in query(connection, sql.load("floors"), {"tenants": list(careful)}):
            careful[tenant].notice_floor(floor)


def has_replays(rows: Iterable[Row]) -> bool:
    """Whether an operator has had any of these events published before, or given up and taken back."""
    return any(row[HEADERS] is not None and _REPLAYED in row[HEADERS] for row in rows)


def large_payloads(connection: Connection, rows: list[Row]) -> dict[int, str]:
    """Payloads of the first rows among those that came without one, as many as fit into one group."""
    ids: list[int] = []
    total = 0
    for row in rows:
        if row[PAYLOAD] is None and row[ATTEMPTS] >= 0:
            total += row[BYTES]
            if ids and total > GROUP_BYTES:
                break
            ids.append(row[ID])
    found = query(connection, sql.load("large_payloads"), {"ids": numbers(ids)})
    return {event_id: payload for event_id, payload in found}


def _fetch(connection: Connection, name: str, asked: list[tuple[Lane, int]], extra: dict[str, bool]) -> list[Batch]:
    lanes = [lane for lane, _ in asked]
    params = {
        "inline": INLINE_BYTES,
        "tenants": [lane.tenant for lane in lanes],
        "after_us": numbers([lane.cursor for lane in lanes]),
        "after_id": numbers([lane.cursor_id for lane in lanes]),
        "quotas": numbers([quota for _, quota in asked]),
        **extra,
    }
    rows = query(connection, sql.load(name), params)
    return [(lanes[n - 1], list(batch)) for n, batch in groupby(rows, key=itemgetter(N))]
