"""What a relay knows of the others, and how many lanes it aims at because of that."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from outbox.relay.fleet import Fleet
from outbox.relay.lanes import LASTING_SECONDS, UNLIMITED
from outbox.relay.session import Connection
from outbox.relay.tenure import Tenure
from tests.outbox.relay.conftest import Tables, lane
from tests.outbox.relay.tenures import (
    LEEWAY,
    ME,
    SOMEBODY_ELSE,
    claim,
    claim_with_backlog,
    hold,
    leavers,
    put_lane,
    renew,
)


@pytest.mark.parametrize(
    ("fleet", "held", "candidates", "target"),
    [
        (Fleet(), 0, 0, 1),
        (Fleet(), 0, 10, 10),
        (Fleet(leased=10, relays=2), 4, 0, 5),
        (Fleet(leased=10, waiting=1, relays=2), 4, 0, 6),
        (Fleet(leased=2, relays=8), 0, 1, 1),
        (Fleet(leased=5_000, relays=2), 0, 0, 1_024),
        (Fleet(leased=3, relays=2), 3, 0, 2),
    ],
)
def test_a_relay_aims_at_its_part_of_the_lanes_with_work(
    tenure: Tenure, fleet: Fleet, held: int, candidates: int, target: int
) -> None:
    tenure.fleet = fleet
    tenure.lanes = {f"held-{n}": lane(f"held-{n}") for n in range(held)}
    tenure.candidates.at = {f"candidate-{n}": 0.0 for n in range(candidates)}
    assert tenure.target == target


@pytest.mark.parametrize(
    ("fleet", "backlogged", "target"),
    [
        (Fleet(leased=20, relays=2, laden=1), 0, 20),
        (Fleet(leased=20, relays=4, laden=2), 0, 10),
        (Fleet(leased=20, relays=2, laden=1), 3, 10),
        # The others have no room for so many.
        (Fleet(leased=1_000, relays=2), 3, 500),
        (Fleet(leased=1_000, relays=2, laden=1), 0, 500),
    ],
)
def test_relays_without_a_backlog_aim_at_all_lanes_without_one(
    tenure: Tenure, fleet: Fleet, backlogged: int, target: int
) -> None:
    tenure.fleet = fleet
    hold(tenure, *[lane(f"busy-{n}") for n in range(backlogged)], lane("dry", idle=True))
    leavers(tenure, now=LASTING_SECONDS * 1.1)
    assert tenure.target == target
    assert not tenure.yields


def test_relays_that_fill_up_go_on_until_they_are_full(tenure: Tenure) -> None:
    """Or hundreds of lanes would change places with the last one that comes or goes."""
    hold(tenure, lane("busy"))
    for leased, yields in ((1_000, False), (900, True), (1_000, True), (1_025, False), (1_000, False)):
        tenure.fleet = Fleet(leased=leased, relays=2)
        leavers(tenure, now=1.0)
        assert tenure.yields is yields


@pytest.mark.parametrize(
    ("fleet", "backlogged", "dry", "free"),
    [
        (Fleet(leased=20, backlogged=4, relays=2), 2, 8, 0),
        # Most of what is dry is with the others; most of what has a backlog is too.
        (Fleet(leased=20, backlogged=4, relays=2), 2, 2, 6),
        (Fleet(leased=20, backlogged=10, relays=2), 1, 9, 4),
        (Fleet(leased=32, backlogged=10, relays=2), 6, 10, 0),
        (Fleet(leased=5_000, backlogged=5_000, relays=1), 1_000, 20, 4),
    ],
)
def test_there_is_room_for_its_part_of_all_and_of_those_with_a_backlog(
    tenure: Tenure, fleet: Fleet, backlogged: int, dry: int, free: int
) -> None:
    tenure.fleet = fleet
    lanes = [lane(f"busy-{n}") for n in range(backlogged)] + [lane(f"dry-{n}", idle=True) for n in range(dry)]
    tenure.lanes = {each.tenant: each for each in lanes}
    assert tenure.free() == free


def test_a_renewal_reads_the_fleet(tenure: Tenure, session: Connection, tables: Tables) -> None:
    claim_with_backlog(tenure, "mine")
    tenure.lanes["mine"].virtual_time = 50.0
    put_lane(tables, "other", owner=SOMEBODY_ELSE, leased_until="2100-01-01", has_work=True, virtual_time=30.0)
    put_lane(tables, "waiting", has_work=True, virtual_time=20.0)
    put_lane(tables, "dry", virtual_time=1.0)
    put_lane(tables, "paused", has_work=True, virtual_time=2.0)
    tables.policy("paused", paused=True)
    put_lane(tables, "limited", has_work=True, virtual_time=3.0, rate_clock="2100-01-01")
    tables.policy("limited", rate=5.0)
    for relay in (ME, SOMEBODY_ELSE, uuid.uuid4()):
        tables.execute("INSERT INTO outbox_relays (id, host, pid, version) VALUES (%(i)s, 'h', 1, '1')", i=relay)
    tables.execute(
        "UPDATE outbox_relays SET heartbeat_at = '2001-01-01' WHERE id NOT IN (%(a)s, %(b)s)", a=ME, b=SOMEBODY_ELSE
    )
    renew(tenure, session)
    assert tenure.fleet == Fleet(leased=2, backlogged=2, waiting=1, least_virtual_time=20.0, relays=2)


def test_a_renewal_reads_how_many_others_have_a_backlog(tenure: Tenure, session: Connection, tables: Tables) -> None:
    for relay, lanes, silent in ((ME, 3, 0), (SOMEBODY_ELSE, 2, 0), (uuid.uuid4(), 0, 0), (uuid.uuid4(), 9, 10)):
        put_relay(tables, relay, lanes, silent)
    renew(tenure, session)
    assert (tenure.fleet.relays, tenure.fleet.laden) == (3, 1)


def put_relay(tables: Tables, relay: uuid.UUID, backlogged: int, silent_seconds: int) -> None:
    tables.execute(
        "INSERT INTO outbox_relays (id, host, pid, version, backlogged, heartbeat_at) VALUES (%(id)s, 'h', 1, '1',"
        " %(backlogged)s, clock_timestamp() - %(silent)s * interval '1 second')",
        id=relay,
        backlogged=backlogged,
        silent=silent_seconds,
    )


def test_a_backlog_that_lasts_is_written_down_at_a_renewal(tenure: Tenure, session: Connection, tables: Tables) -> None:
    """A lane that was claimed without work may have a few events or many: that shows when it is not read to its end."""
    claim(tenure, "acme")
    leavers(tenure, now=LASTING_SECONDS)
    renew(tenure, session, now=LASTING_SECONDS)
    assert not tables.lane()["has_work"]
    leavers(tenure, now=1.1 * LASTING_SECONDS)
    renew(tenure, session, now=1.1 * LASTING_SECONDS)
    assert tables.lane()["has_work"]
    assert tenure.lanes["acme"].may_have_backlog
    tenure.lanes["acme"].was_read(2.0, dry=True)
    assert not tenure.lanes["acme"].may_have_backlog


@pytest.mark.parametrize("had_work", [True, False])
def test_a_claim_says_whether_there_was_work_left(tenure: Tenure, tables: Tables, had_work: bool) -> None:
    put_lane(tables, has_work=had_work)
    claim(tenure, "acme")
    assert tenure.lanes["acme"].may_have_backlog is had_work


@pytest.mark.parametrize("has_work", [True, False])
def test_a_lease_that_is_over_is_nobodys(tenure: Tenure, session: Connection, tables: Tables, has_work: bool) -> None:
    """What a dead relay has left must not count as held until it has work again, nor hold the others back."""
    put_lane(tables, "dead", owner=SOMEBODY_ELSE, leased_until="2001-01-01", has_work=has_work, virtual_time=7.0)
    renew(tenure, session)
    assert (tenure.fleet.leased, tenure.fleet.waiting) == (0, int(has_work))
    assert tenure.fleet.least_virtual_time == (7.0 if has_work else None)


@pytest.mark.parametrize("changes", [{"idle": True}, {"isolated": True}, {"topic_wait": "news"}])
def test_a_lane_without_a_backlog_that_it_may_send_is_no_measure(
    tenure: Tenure, session: Connection, tables: Tables, changes: dict[str, Any]
) -> None:
    """Its virtual time stands still: all others would soon be said to be ahead of it."""
    claim_with_backlog(tenure, "still", "busy")
    for name, value in changes.items():
        setattr(tenure.lanes["still"], name, value)
    tenure.lanes["busy"].virtual_time = 50.0
    renew(tenure, session)
    assert tenure.fleet.least_virtual_time == 50.0


def test_a_renewal_reads_where_the_others_stand_now(tenure: Tenure, session: Connection, tables: Tables) -> None:
    for relay, level in ((ME, 1.0), (SOMEBODY_ELSE, 1_000.0), (uuid.uuid4(), 3_000.0), (uuid.uuid4(), None)):
        tables.execute(
            "INSERT INTO outbox_relays (id, host, pid, version, virtual_time, pace, heartbeat_at)"
            " VALUES (%(i)s, 'h', 1, '1', %(level)s, 10, clock_timestamp() - interval '2 seconds')",
            i=relay,
            level=level,
        )
    renew(tenure, session)
    assert tenure.fleet.others_pace == 10.0
    # The mean of 1,000 and 3,000 two seconds ago, each ten a second further by now.
    assert tenure.fleet.others_level is not None
    assert 2_020 <= tenure.fleet.others_level < 2_050


def test_a_relay_ahead_of_the_others_takes_more_lanes(tenure: Tenure, session: Connection, tables: Tables) -> None:
    tables.execute(
        "INSERT INTO outbox_relays (id, host, pid, version, virtual_time) VALUES (%(i)s, 'h', 1, '1', 1500),"
        " (%(me)s, 'h', 2, '1', 0)",
        i=SOMEBODY_ELSE,
        me=ME,
    )
    tenure.level.note(1_000.0, 0.0, served=0.0)
    tenure.level.note(2_000.0, 1.0, served=1_000.0)
    renew(tenure, session, now=1.0)
    hold(tenure, *[lane(f"lane-{n}") for n in range(20)])
    tenure.fleet = replace(tenure.fleet, laden=1)
    # Half a second ahead: three twentieths more than ten.
    assert len(leavers(tenure, now=1.1)) == 8


def test_a_relay_that_has_just_come_does_not_run_ahead(tenure: Tenure) -> None:
    hold(tenure, lane("first"))
    tenure.fleet = Fleet(leased=20, backlogged=20, least_virtual_time=100.0, relays=2)
    assert tenure.ceiling(0.0) == 100.0 + LEEWAY
    # What it holds without a backlog makes no difference.
    hold(tenure, lane("first"), *[lane(f"dry-{n}", idle=True) for n in range(10)])
    assert tenure.ceiling(0.0) == 100.0 + LEEWAY
    hold(tenure, *[lane(f"lane-{n}") for n in range(5)])
    assert tenure.ceiling(0.0) == UNLIMITED


def test_what_others_wrote_down_a_while_ago_has_moved_on_since(tenure: Tenure) -> None:
    """As fast as our own lanes have, so long as the last renewals are ago: theirs, and then ours."""
    hold(tenure, lane("ahead", virtual_time=LEEWAY + 600.0))
    tenure.fleet = Fleet(leased=20, backlogged=20, waiting=1, least_virtual_time=100.0, relays=2)
    assert leavers(tenure, now=1.1) == ["ahead"]
    tenure.level.note(0.0, 0.0, served=0.0)
    tenure.level.note(500.0, 1.0, served=500.0)
    hold(tenure, lane("ahead", virtual_time=LEEWAY + 600.0))
    assert tenure.ceiling(1.0) == 100.0 + LEEWAY + 2 * 500.0
    assert leavers(tenure, now=1.1) == []


def test_without_a_pace_of_its_own_a_relay_goes_by_that_of_the_others(tenure: Tenure) -> None:
    hold(tenure, lane("first"))
    tenure.fleet = Fleet(leased=20, backlogged=20, least_virtual_time=100.0, relays=2, others_pace=300.0)
    assert tenure.ceiling(1.0) == 100.0 + LEEWAY + 2 * 300.0


def test_the_level_is_that_of_lanes_with_a_backlog(tenure: Tenure) -> None:
    hold(tenure, lane("a", virtual_time=5.0), lane("b", virtual_time=7.0), lane("dry", idle=True))
    tenure.note_served(10.0, 0.0)
    tenure.note_served(10.0, 1.0)
    assert (tenure.level.value(1.0), tenure.level.pace) == (6.0, 5.0)
    hold(tenure, lane("dry", idle=True))
    tenure.note_served(10.0, 2.1)
    assert tenure.level.value(2.1) is None


@pytest.mark.parametrize(
    "fleet",
    [
        Fleet(backlogged=20, least_virtual_time=100.0, relays=1),
        Fleet(backlogged=2, least_virtual_time=100.0, relays=2),
        Fleet(backlogged=20, relays=2),
    ],
)
def test_nobody_else_nobody_to_wait_for(tenure: Tenure, fleet: Fleet) -> None:
    hold(tenure, lane("first"))
    tenure.fleet = fleet
    assert tenure.ceiling(0.0) == UNLIMITED


def test_under_a_pause_of_everything_nobody_waits(tenure: Tenure, session: Connection, tables: Tables) -> None:
    """Or relays would give back and ask for lanes all the time."""
    put_lane(tables, "a", has_work=True)
    tables.policy("*", paused=True)
    renew(tenure, session)
    assert tenure.fleet.waiting == 0


def test_a_relay_without_a_heartbeat_yet_counts_itself(tenure: Tenure, session: Connection) -> None:
    renew(tenure, session)
    assert tenure.fleet.relays == 1
