"""Which lanes a relay leaves to others, and when."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from outbox.relay.fleet import Fleet
from outbox.relay.lanes import LASTING_SECONDS
from outbox.relay.session import Connection
from outbox.relay.tenure import LONG_REST_SECONDS, Tenure
from tests.outbox.relay.conftest import Tables, lane
from tests.outbox.relay.tenures import LEEWAY, ME, SOMEBODY_ELSE, hold, leavers, make_tenure, renew


def test_a_lane_with_work_stays_while_nobody_waits(tenure: Tenure) -> None:
    hold(tenure, lane("a", virtual_time=1e9), lane("b"))
    assert leavers(tenure, now=1e6) == []


def test_a_dry_lane_is_kept_for_a_tenure(tenure: Tenure) -> None:
    hold(tenure, lane("a", hungry=False))
    assert leavers(tenure, now=0.9) == []
    assert leavers(tenure, now=1.1) == ["a"]


@pytest.mark.parametrize("crowd", ["candidate", "fleet"])
def test_a_dry_lane_goes_at_once_when_others_have_no_room(session: Connection, settings: Settings, crowd: str) -> None:
    settings.OUTBOX_MAX_LANES = 2
    tenure = make_tenure(session)
    hold(tenure, lane("a", hungry=False), lane("b"))
    if crowd == "candidate":
        tenure.candidates.at = {"c": 0.0}
    else:
        tenure.fleet = Fleet(waiting=1)
    assert leavers(tenure) == ["a"]


@pytest.mark.parametrize("relays", [1, 2])
def test_a_dry_lane_stays_when_there_is_room_for_those_that_wait(tenure: Tenure, relays: int) -> None:
    """Every commit makes a candidate of its tenant for a moment, in all relays that do not hold the lane."""
    hold(tenure, lane("a", hungry=False), lane("b"))
    tenure.candidates.at = {"c": 0.0}
    tenure.fleet = Fleet(leased=2, relays=relays)
    assert leavers(tenure) == []


def test_beside_a_backlog_lanes_without_one_go_to_relays_that_have_none(tenure: Tenure) -> None:
    """Here they would wait for its rounds. None goes before its tenure ends."""
    dry = [lane(f"dry-{n}", idle=True) for n in range(3)]
    hold(tenure, lane("busy"), *dry)
    tenure.fleet = Fleet(leased=8, backlogged=2, relays=2, laden=1)
    assert leavers(tenure, now=1.1) == []
    tenure.fleet = Fleet(leased=8, backlogged=1, relays=2)
    assert leavers(tenure, now=0.9) == []
    assert leavers(tenure, now=1.1) == ["dry-0", "dry-1", "dry-2"]
    assert all(each.shared for each in dry)


def test_a_backlog_counts_once_it_has_lasted_and_for_a_tenure_after_it(tenure: Tenure) -> None:
    """Or lanes would go to and fro with every burst."""
    burst = lane("burst", counted=False, filling_since=1.0)
    hold(tenure, burst, lane("dry", idle=True))
    leavers(tenure, now=1.0 + LASTING_SECONDS)
    assert tenure.load.backlogged == 0
    leavers(tenure, now=1.1 + LASTING_SECONDS)
    assert tenure.load.backlogged == 1
    burst.was_read(2.0, dry=True)
    leavers(tenure, now=2.0 + LASTING_SECONDS)
    assert tenure.load.backlogged == 1
    leavers(tenure, now=2.1 + LASTING_SECONDS)
    assert tenure.load.backlogged == 0


def test_the_first_backlog_of_a_relay_is_not_given_away(tenure: Tenure) -> None:
    hold(tenure, lane("busy", counted=False, filling_since=1.0), lane("dry", idle=True))
    tenure.fleet = Fleet(leased=4, relays=2)
    assert leavers(tenure, now=1.1 + LASTING_SECONDS) == ["dry"]


def test_a_lane_whose_backlog_is_over_stays_while_that_is_remembered(tenure: Tenure) -> None:
    """One read to its end is enough where a relay is about as fast as the tenant."""
    busy = lane("busy")
    hold(tenure, busy, lane("dry", idle=True))
    tenure.fleet = Fleet(leased=4, relays=2)
    assert leavers(tenure, now=1.1) == ["dry"]
    busy.was_read(1.1, dry=True)
    busy.hungry = True
    assert leavers(tenure, now=2.0) == ["dry"]
    # Then it is one of those that others are to have.
    assert leavers(tenure, now=1.2 + tenure.settings.tenure_seconds) == ["dry"]
    assert not tenure.yields


def test_few_lanes_without_a_backlog_beside_many_at_their_limits_go_as_well(tenure: Tenure) -> None:
    capped = [lane(f"capped-{n}", idle=True, capped=True) for n in range(20)]
    hold(tenure, lane("busy"), *capped, lane("dry", idle=True))
    tenure.fleet = Fleet(leased=64, backlogged=42, relays=2)
    assert leavers(tenure, now=1.1) == ["dry"]


def test_a_relay_that_does_not_reach_the_broker_gives_what_it_holds_to_others(tenure: Tenure) -> None:
    woken = [lane(f"woken-{n}", idle=True, predicted=1) for n in range(3)]
    hold(tenure, *woken)
    tenure.fleet = Fleet(leased=6, relays=2)
    assert leavers(tenure, now=1.1) == []
    tenure.load.stuck = True
    assert leavers(tenure, now=1.1) == ["woken-0", "woken-1", "woken-2"]


def test_a_relay_beside_others_without_a_backlog_has_room_for_nobody(tenure: Tenure) -> None:
    hold(tenure, lane("busy"))
    tenure.fleet = Fleet(leased=10, backlogged=9, waiting=9, relays=2)
    leavers(tenure, now=LASTING_SECONDS * 1.1)
    assert (tenure.yields, tenure.free(), tenure.free(beyond=True)) == (True, 0, 1_023)


def test_what_has_just_been_offered_makes_no_lane_leave(tenure: Tenure) -> None:
    """Most of it is others': each commit is told to all relays."""
    hold(tenure, lane("ahead", virtual_time=LEEWAY + 200.0), lane("behind"))
    tenure.fleet = Fleet(leased=2, least_virtual_time=100.0)
    tenure.offer(["c"], now=1.1)
    assert leavers(tenure, now=9.0) == []
    tenure.fleet = Fleet(leased=2, waiting=1, least_virtual_time=100.0)
    assert leavers(tenure, now=9.0) == ["ahead"]


def test_a_paused_lane_goes_at_once(tenure: Tenure) -> None:
    hold(tenure, lane("a", paused=True))
    assert leavers(tenure) == ["a"]


def test_a_relay_above_its_target_gives_the_most_served_lanes_back(tenure: Tenure) -> None:
    hold(tenure, *[lane(f"lane-{n}", virtual_time=float(n)) for n in range(4)])
    tenure.fleet = Fleet(leased=6, backlogged=6, relays=2)
    assert leavers(tenure, now=1.1) == ["lane-3"]
    assert tenure.lanes["lane-3"].shared


def test_dry_lanes_and_those_with_a_backlog_are_divided_each_for_itself(tenure: Tenure) -> None:
    """Of dry ones a few more or less make no difference."""
    busy = [lane(f"busy-{n}", virtual_time=100.0 + n) for n in range(3)]
    dry = [lane(f"dry-{n}", virtual_time=float(n), idle=True) for n in range(3)]
    hold(tenure, *busy, *dry)
    tenure.fleet = Fleet(leased=12, backlogged=4, relays=2, laden=1)
    assert leavers(tenure, now=1.1) == ["busy-2"]
    hold(tenure, *busy[:2], *dry)
    tenure.fleet = Fleet(leased=8, backlogged=4, relays=2, laden=1)
    assert leavers(tenure, now=1.1) == []
    tenure.fleet = Fleet(leased=6, backlogged=4, relays=2, laden=1)
    assert leavers(tenure, now=1.1) == ["dry-1", "dry-2"]


def test_a_backlog_that_is_over_takes_no_part_from_those_that_last(tenure: Tenure) -> None:
    """Its lane stays for a tenure, but a relay that has just finished with it has room for another's."""
    over = [lane(f"over-{n}", idle=True, predicted=1, counted=False, laden_until=5.0) for n in range(2)]
    hold(tenure, *[lane(f"busy-{n}", virtual_time=100.0 + n) for n in range(3)], *over)
    tenure.fleet = Fleet(leased=10, backlogged=8, relays=2, laden=1)
    assert leavers(tenure, now=1.1) == []
    assert tenure.free() == 1


def test_a_backlog_of_a_moment_is_none_that_was_counted(tenure: Tenure) -> None:
    """A quiet lane has more than a round takes now and then: relays would exchange such lanes all the time."""
    hold(tenure, *[lane(f"lane-{n}", counted=False, filling_since=1.0) for n in range(4)])
    tenure.fleet = Fleet(leased=8, backlogged=0, relays=2)
    assert leavers(tenure, now=1.1) == []


def test_a_surplus_waits_for_the_end_of_tenures_unless_a_relay_has_just_come(
    tenure: Tenure, session: Connection, tables: Tables
) -> None:
    hold(tenure, *[lane(f"lane-{n}", virtual_time=float(n)) for n in range(10)])
    tenure.fleet = Fleet(leased=10, backlogged=10, relays=2)
    assert leavers(tenure, now=0.9) == []
    assert leavers(tenure, now=1.1) == [f"lane-{n}" for n in range(5, 10)]
    for relay in (ME, SOMEBODY_ELSE):
        tables.execute("INSERT INTO outbox_relays (id, host, pid, version) VALUES (%(i)s, 'h', 1, '1')", i=relay)
    tenure.fleet = Fleet(relays=1)
    hold(tenure)
    renew(tenure, session, now=0.5)
    hold(tenure, *[lane(f"lane-{n}", virtual_time=float(n)) for n in range(10)])
    assert leavers(tenure, now=0.9) == [f"lane-{n}" for n in range(5, 10)]


def test_a_lane_ahead_of_those_that_wait_makes_room(tenure: Tenure) -> None:
    hold(tenure, lane("ahead", virtual_time=LEEWAY + 101.0), lane("near", virtual_time=LEEWAY + 99.0))
    tenure.fleet = Fleet(waiting=1, least_virtual_time=100.0)
    assert leavers(tenure, now=1.1) == ["ahead"]


def test_a_lane_that_its_limit_holds_is_not_ahead_and_stays_longer(tenure: Tenure) -> None:
    """It would lose what the limit lets it. But it does not stay for ever, or one relay might keep all of them."""
    hold(tenure, lane("limited", virtual_time=1e6, capped=True), lane("near", virtual_time=LEEWAY + 99.0))
    tenure.fleet = Fleet(waiting=1, least_virtual_time=100.0)
    assert leavers(tenure, now=1.1) == []
    hold(tenure, *[lane(f"lane-{n}", virtual_time=float(n), capped=True) for n in range(6)])
    tenure.fleet = Fleet(leased=10, backlogged=10, relays=2)
    assert leavers(tenure, now=9.9) == []
    assert leavers(tenure, now=10.1) == ["lane-5"]


def test_how_far_ahead_counts_in_service_and_not_in_virtual_time(tenure: Tenure) -> None:
    hold(
        tenure,
        lane("heavy", virtual_time=101.0, weight=LEEWAY + 1.0),
        lane("light", virtual_time=5_000.0, weight=0.001),
    )
    tenure.fleet = Fleet(waiting=1, least_virtual_time=100.0)
    assert leavers(tenure, now=1.1) == ["heavy"]


def test_a_lane_ahead_stays_while_nobody_waits(tenure: Tenure) -> None:
    hold(tenure, lane("ahead", virtual_time=1e6), lane("near"))
    tenure.fleet = Fleet(least_virtual_time=0.0)
    assert leavers(tenure, now=5.0) == []


def test_a_full_relay_makes_room_after_a_tenure(session: Connection, settings: Settings) -> None:
    settings.OUTBOX_MAX_LANES = 2
    tenure = make_tenure(session)
    hold(tenure, lane("old"), lane("new"))
    tenure.lanes["new"].claimed_at = 1.0
    tenure.candidates.at = {"c": 0.0}
    assert leavers(tenure, now=1.1) == ["old"]


def test_a_lane_that_its_rate_keeps_waiting_is_given_back(tenure: Tenure) -> None:
    db_now = tenure.db_now(2.0)
    hold(
        tenure,
        lane("long", rate=0.5, rate_clock=db_now),
        lane("short", rate=2.0, rate_clock=db_now),
        lane("under-way", rate=0.5, rate_clock=db_now, outstanding=1),
        lane("suspect", rate=0.5, rate_clock=db_now, suspect_until=3.0),
    )
    assert tenure.rest(tenure.lanes["long"], 2.0) == pytest.approx(2 * LONG_REST_SECONDS)
    assert leavers(tenure, now=2.0) == ["long"]


def test_the_rest_of_a_lane_ends(tenure: Tenure) -> None:
    held = lane(rate=0.5, rate_clock=tenure.db_now(0.0))
    assert tenure.rest(held, 1.5) == pytest.approx(0.5)
    assert tenure.rest(held, 99.0) == 0.0
    assert tenure.rest(lane(), 0.0) == 0.0
