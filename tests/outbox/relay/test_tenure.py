from __future__ import annotations

import math
import uuid
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from outbox.relay.candidates import MOST, REFUSED_SECONDS
from outbox.relay.circuit import Probe
from outbox.relay.fairness import MOST_CREDIT
from outbox.relay.fleet import Fleet
from outbox.relay.lanes import LASTING_SECONDS, UNLIMITED, Lane
from outbox.relay.session import Connection, query
from outbox.relay.tenure import (
    AHEAD_QUANTA,
    LONG_REST_SECONDS,
    RECENT_SECONDS,
    Tenure,
)
from tests.outbox.relay.conftest import Tables, another_session, is_leased_since, lane

ME, SOMEBODY_ELSE = uuid.uuid4(), uuid.uuid4()
QUANTUM = 4
LEEWAY = AHEAD_QUANTA * QUANTUM


@pytest.fixture
def tenure(session: Connection) -> Tenure:
    return make_tenure(session)


def make_tenure(session: Connection, relay_id: uuid.UUID = ME) -> Tenure:
    """One whose clock stands still with the database's, at the moment it is made."""
    (db_now,) = query(session, "SELECT clock_timestamp()")[0]
    return Tenure(connection=session, relay_id=relay_id, db_now=lambda now: int(db_now + now * 1e6))


def claim(by: Tenure, *names: str, limit: int = 100, now: float = 0.0) -> list[str]:
    by.offer(names, now=now)
    return sorted(each.tenant for each in by.claim(list(names), limit=limit, now=now))


def renew(by: Tenure, session: Connection, *, now: float = 0.0) -> list[str]:
    job = by.renewal(now)
    job.run(session, ME)
    return [each.tenant for each in by.renewed(job, now)]


def claim_with_backlog(by: Tenure, *names: str) -> None:
    claim(by, *names)
    for name in names:
        by.lanes[name].counted = True


def put_lane(tables: Tables, tenant: str = "acme", **columns: Any) -> None:
    names = ["tenant_id", *columns]
    places = ", ".join(f"%({name})s" for name in names)
    tables.execute(
        f"INSERT INTO outbox_lanes ({', '.join(names)}) VALUES ({places})",  # noqa: S608
        tenant_id=tenant,
        **columns,
    )


# Candidates


def test_who_is_said_to_have_work_is_a_candidate_at_once(tenure: Tenure) -> None:
    tenure.offer(["a", "b"], now=5.0)
    assert tenure.candidates.due(5.0) == ["a", "b"]


def test_a_candidate_keeps_its_place_and_time(tenure: Tenure) -> None:
    tenure.candidates.at = {"a": 7.0, "b": 5.0}
    tenure.offer(["b", "a"], now=6.0)
    assert tenure.candidates.due(6.0) == ["b"]
    assert tenure.candidates.due(7.0) == ["a", "b"]


def test_a_lane_that_is_held_is_no_candidate(tenure: Tenure) -> None:
    tenure.lanes["a"] = lane("a", woken=False)
    tenure.offer(["a"], now=0.0)
    assert tenure.candidates.at == {}
    assert not tenure.lanes["a"].woken


def test_a_wake_up_of_a_lane_that_is_being_released_is_kept(tenure: Tenure) -> None:
    tenure.lanes["a"] = lane("a", leaving=True, woken=False)
    tenure.offer(["a"], now=0.0)
    assert tenure.lanes["a"].woken


def test_everyone_is_asked_for_in_the_end_however_many_there_are(session: Connection, tables: Tables) -> None:
    tenure = make_tenure(session)
    names = [f"tenant-{n:05}" for n in range(3 * MOST)]
    tenure.offer(names, now=0.0)
    for _ in range(30):
        claimed = tenure.claim(tenure.candidates.due(0.0), limit=100, now=0.0)
        for each in claimed:
            tenure.forget(each, now=0.0, again_at=0.0)
        tables.execute(
            "UPDATE outbox_lanes SET owner = NULL, leased_until = NULL, virtual_time = virtual_time + 1"
            " WHERE owner IS NOT NULL"
        )
    assert tables.one("SELECT count(*) FROM outbox_lanes WHERE token > 0") == len(names)


# Claim


def test_a_claimed_lane_has_an_owner_a_new_token_and_an_expiry(tenure: Tenure, tables: Tables) -> None:
    put_lane(tables, token=7)
    before = tables.one("SELECT clock_timestamp()")
    assert claim(tenure, "acme") == ["acme"]
    row = tables.lane()
    assert (row["owner"], row["token"]) == (ME, 8)
    assert is_leased_since(tables, before)
    assert tenure.lanes["acme"].token == 8
    assert tenure.candidates.at == {}


def test_the_first_claim_of_a_tenant_makes_its_row_and_starts_at_the_beginning(tenure: Tenure, tables: Tables) -> None:
    assert claim(tenure, "acme") == ["acme"]
    assert tenure.lanes["acme"].cursor == 0
    assert tables.lane()["token"] == 1


def test_a_claim_starts_at_the_floor_that_the_holder_before_left(tenure: Tenure, tables: Tables) -> None:
    put_lane(tables, floor="2000-01-01 00:00:03+00")
    claim(tenure, "acme")
    held = tenure.lanes["acme"]
    assert (held.cursor, held.cursor_id, held.floor) == (3_000_000, 0, 3_000_000)


def test_a_leased_lane_is_not_granted_until_its_lease_is_over(tenure: Tenure, tables: Tables) -> None:
    put_lane(tables, owner=SOMEBODY_ELSE, leased_until="2100-01-01", token=3)
    assert claim(tenure, "acme") == []
    tables.execute("UPDATE outbox_lanes SET leased_until = '2001-01-01'")
    assert claim(tenure, "acme", now=1.0) == ["acme"]
    assert tables.lane()["token"] == 4


def test_the_least_served_lanes_are_granted_first(tenure: Tenure, tables: Tables) -> None:
    for name, virtual_time in (("a", 30.0), ("b", 10.0), ("c", 20.0)):
        put_lane(tables, name, virtual_time=virtual_time, has_work=True)
    assert claim(tenure, "a", "b", "c", limit=2) == ["b", "c"]
    assert list(tenure.candidates.at) == ["a"]


def test_a_lane_that_somebody_is_claiming_is_passed_over(tenure: Tenure, tables: Tables) -> None:
    put_lane(tables, "a")
    put_lane(tables, "b")
    with another_session() as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM outbox_lanes WHERE tenant_id = 'a' FOR UPDATE")
        assert claim(tenure, "a", "b") == ["b"]


def test_two_relays_never_hold_the_same_lane(session: Connection, tables: Tables) -> None:
    first, second = make_tenure(session), make_tenure(session, SOMEBODY_ELSE)
    assert claim(first, "a", "b", limit=1) == ["a"]
    assert claim(second, "a", "b") == ["b"]


@pytest.mark.parametrize("who", ["paused", "*"])
@pytest.mark.parametrize(("until", "granted"), [("2100-01-01", False), ("2001-01-01", True), (None, False)])
def test_a_paused_tenant_is_not_granted(
    tenure: Tenure, tables: Tables, who: str, until: str | None, granted: bool
) -> None:
    tables.policy(who, paused=True, paused_until=until)
    assert claim(tenure, "paused") == (["paused"] if granted else [])


def test_paused_and_limited_tenants_cost_nobody_a_place(tenure: Tenure, tables: Tables) -> None:
    """They are the least served ones, and they are out before LIMIT."""
    for n in range(20):
        put_lane(tables, f"paused-{n}", has_work=True)
        tables.policy(f"paused-{n}", paused=True)
        put_lane(tables, f"limited-{n}", has_work=True, rate_clock="2100-01-01")
        tables.policy(f"limited-{n}", rate=0.01)
    put_lane(tables, "busy", has_work=True, virtual_time=900.0)
    others = [f"{kind}-{n}" for kind in ("paused", "limited") for n in range(20)]
    assert claim(tenure, *others, "busy", limit=1) == ["busy"]


def test_a_tenant_at_the_end_of_its_rate_is_granted_when_the_next_event_may_go(tenure: Tenure, tables: Tables) -> None:
    """What is used up reaches up to now: the next event may go one interval later, not at once."""
    put_lane(tables, has_work=True)
    tables.policy(rate=0.001)
    tables.execute("UPDATE outbox_lanes SET rate_clock = clock_timestamp() - interval '900 s'")
    assert claim(tenure, "acme") == []
    tables.execute("UPDATE outbox_lanes SET rate_clock = clock_timestamp() - interval '1010 s'")
    assert claim(tenure, "acme", now=1.0) == ["acme"]


def test_a_tenant_without_a_rate_any_more_is_granted_at_once(tenure: Tenure, tables: Tables) -> None:
    put_lane(tables, rate_clock="2100-01-01")
    assert claim(tenure, "acme") == ["acme"]


def test_a_claim_brings_the_policy_along(tenure: Tenure, tables: Tables) -> None:
    put_lane(tables, rate_clock="2000-01-01 00:00:05+00")
    tables.policy(weight=3.0, rate=10.0, batch_quota=7)
    claim(tenure, "acme", "other")
    held, other = tenure.lanes["acme"], tenure.lanes["other"]
    assert (held.weight, held.rate, held.batch_quota, held.rate_clock) == (3.0, 10.0, 7, 5_000_000)
    assert (other.weight, other.rate, other.batch_quota, other.rate_clock) == (1.0, None, None, None)


def test_a_claim_says_whether_keys_wait_for_a_retry(tenure: Tenure, tables: Tables) -> None:
    tables.add("k", tenant="blocked", status="scheduled", attempts=1, available_at="2100-01-01")
    tables.add("k", tenant="delayed", status="scheduled", attempts=0, available_at="2100-01-01")
    claim(tenure, "blocked", "delayed", "free")
    assert {name: held.blocked for name, held in tenure.lanes.items()} == {
        "blocked": True,
        "delayed": False,
        "free": False,
    }


def test_who_is_refused_is_left_alone_for_a_moment(tenure: Tenure, tables: Tables) -> None:
    tables.policy("a", paused=True)
    assert claim(tenure, "a") == []
    tenure.offer(["a"], now=REFUSED_SECONDS / 2)
    assert tenure.candidates.at == {}
    tenure.offer(["a"], now=REFUSED_SECONDS)
    assert tenure.candidates.at


def test_who_found_no_place_stays_a_candidate(tenure: Tenure) -> None:
    assert claim(tenure, "a", "b", limit=1) == ["a"]
    assert list(tenure.candidates.at) == ["b"]


def test_a_lane_whose_row_was_deleted_gets_another(tenure: Tenure, tables: Tables) -> None:
    claim(tenure, "acme")
    tenure.forget(tenure.lanes["acme"], now=0.0, again_at=None)
    tables.execute("DELETE FROM outbox_lanes")
    assert claim(tenure, "acme", now=1.0) == []
    assert claim(tenure, "acme", now=2.0) == ["acme"]


# Virtual time at the claim


def test_idle_time_is_not_saved_up(tenure: Tenure, tables: Tables) -> None:
    put_lane(tables, virtual_time=5.0, has_work=False)
    tenure.virtual_now = 1_000.0
    claim(tenure, "acme")
    assert tenure.lanes["acme"].virtual_time == tables.lane()["virtual_time"] == 1_000.0


def test_an_idle_lane_that_was_served_before_its_turn_still_owes(tenure: Tenure, tables: Tables) -> None:
    put_lane(tables, virtual_time=1_500.0, has_work=False)
    tenure.virtual_now = 1_000.0
    claim(tenure, "acme")
    assert tenure.lanes["acme"].virtual_time == 1_500.0


def test_a_lane_that_waited_with_work_keeps_its_place_within_bounds(tenure: Tenure, tables: Tables) -> None:
    put_lane(tables, "near", virtual_time=95_000.0, has_work=True)
    put_lane(tables, "far", virtual_time=5.0, has_work=True)
    tenure.virtual_now = 100_000.0
    claim(tenure, "near", "far")
    assert tenure.lanes["near"].virtual_time == 95_000.0
    assert tenure.lanes["far"].virtual_time == 100_000.0 - MOST_CREDIT


def test_a_relay_that_starts_takes_the_time_of_the_least_served_lane_with_work(
    session: Connection, tables: Tables
) -> None:
    put_lane(tables, "a", virtual_time=200.0, has_work=True)
    put_lane(tables, "b", virtual_time=900.0, has_work=True)
    put_lane(tables, "idle", virtual_time=5.0)
    put_lane(tables, "far", virtual_time=1e9)
    assert make_tenure(session).virtual_now == 200.0


def test_a_relay_that_starts_among_idle_lanes_takes_the_latest_time(session: Connection, tables: Tables) -> None:
    put_lane(tables, "a", virtual_time=200.0)
    put_lane(tables, "b", virtual_time=900.0)
    assert make_tenure(session).virtual_now == 900.0


def test_the_first_relay_starts_at_nought(tenure: Tenure) -> None:
    assert tenure.virtual_now == 0.0


# Target


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


# Renewal


def test_a_renewal_extends_the_deadline_from_before_it_was_asked_for(tenure: Tenure, session: Connection) -> None:
    claim(tenure, "acme", now=10.0)
    assert tenure.lanes["acme"].deadline == pytest.approx(10.0 + 4.5)
    job = tenure.renewal(12.0)
    job.run(session, ME)
    tenure.renewed(job, 0.0)
    assert tenure.lanes["acme"].deadline == pytest.approx(12.0 + 4.5)


def test_a_changed_policy_takes_hold_with_the_next_renewal(tenure: Tenure, session: Connection, tables: Tables) -> None:
    claim(tenure, "acme")
    tables.policy(weight=3.0, rate=10.0, batch_quota=7, paused=True)
    assert renew(tenure, session) == []
    held = tenure.lanes["acme"]
    assert (held.weight, held.rate, held.batch_quota, held.paused) == (3.0, 10.0, 7, True)
    held.rate_clock = 5
    tables.execute("DELETE FROM outbox_tenant_policies")
    renew(tenure, session)
    assert [held.weight, held.rate, held.rate_clock, held.paused] == [1.0, None, None, False]


def test_a_lane_that_was_taken_over_is_lost(tenure: Tenure, session: Connection, tables: Tables) -> None:
    claim(tenure, "kept", "lost", "again")
    tables.execute("UPDATE outbox_lanes SET owner = %(o)s WHERE tenant_id = 'lost'", o=SOMEBODY_ELSE)
    tables.execute("UPDATE outbox_lanes SET token = token + 1 WHERE tenant_id = 'again'")
    assert sorted(renew(tenure, session)) == ["again", "lost"]


def test_a_lane_that_leaves_is_not_renewed(tenure: Tenure) -> None:
    claim(tenure, "acme")
    tenure.lanes["acme"].leaving = True
    assert tenure.renewal(0.0).lanes == []


def test_a_renewal_that_comes_back_after_the_lane_has_gone_is_ignored(tenure: Tenure, session: Connection) -> None:
    claim(tenure, "gone", "again", "leaving")
    job = tenure.renewal(0.0)
    job.run(session, ME)
    job.rows.clear()
    tenure.forget(tenure.lanes["gone"], now=0.0, again_at=None)
    tenure.lanes["again"].token += 1
    tenure.lanes["leaving"].leaving = True
    assert tenure.renewed(job, 0.0) == []


def test_virtual_time_and_floor_are_written_at_each_renewal(
    tenure: Tenure, session: Connection, tables: Tables
) -> None:
    claim(tenure, "acme")
    held = tenure.lanes["acme"]
    held.virtual_time, held.safe, held.cursor = 77.0, 9_000_000, 5_000_000
    held.begin_settle()
    held.end_settle()
    renew(tenure, session)
    row = tables.lane()
    assert (row["virtual_time"], row["floor"].isoformat()) == (77.0, "2000-01-01T00:00:05+00:00")


def test_an_event_made_pending_behind_the_cursor_sends_the_holder_back(
    tenure: Tenure, session: Connection, tables: Tables
) -> None:
    claim(tenure, "acme")
    held = tenure.lanes["acme"]
    move(held, to=9_000_000)
    renew(tenure, session)
    assert held.rewind_to is None
    tables.execute("UPDATE outbox_lanes SET floor = '2000-01-01 00:00:02+00'")
    renew(tenure, session)
    assert held.rewind_to == 2_000_000


def test_a_second_one_above_the_lowered_floor_is_noticed_too(
    tenure: Tenure, session: Connection, tables: Tables
) -> None:
    """promote.sql lowers a floor by a microsecond more than needed, so that it always changes."""
    claim(tenure, "acme")
    held = tenure.lanes["acme"]
    move(held, to=9_000_000)
    renew(tenure, session)
    tables.execute("UPDATE outbox_lanes SET floor = '2000-01-01 00:00:02+00'")
    renew(tenure, session)
    held.apply_rewind()
    move(held, to=9_000_000)
    tables.execute("UPDATE outbox_lanes SET floor = floor - interval '1 microsecond'")
    renew(tenure, session)
    assert held.rewind_to == 1_999_999


def test_a_failure_during_a_renewal_keeps_the_lane_careful(tenure: Tenure, session: Connection) -> None:
    """What the renewal read is from before the failure was written."""
    claim(tenure, "acme")
    held = tenure.lanes["acme"]
    job = tenure.renewal(0.0)
    held.blocked, held.block_changes = True, held.block_changes + 1
    job.run(session, ME)
    tenure.renewed(job, 0.0)
    assert held.blocked
    renew(tenure, session)
    assert not held.blocked


def test_a_circuit_that_a_renewal_finds_closed_leaves_no_suspicion(tenure: Tenure, session: Connection) -> None:
    """Or the lane would go on with one event to a batch for a minute, as its probes did."""
    claim(tenure, "acme")
    held = tenure.lanes["acme"]
    held.circuit.probe, held.suspect_until = Probe.WANTED, 60.0
    renew(tenure, session)
    assert (held.circuit.closed, held.suspect_until, held.idle) == (True, 0.0, True)


def move(held: Lane, *, to: int) -> None:
    held.cursor = held.safe = to
    held.begin_settle()
    held.end_settle()


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


# Giving back


def leavers(tenure: Tenure, *, now: float = 0.5) -> list[str]:
    tenure.choose_leavers(now)
    return sorted(name for name, held in tenure.lanes.items() if held.leaving)


def hold(tenure: Tenure, *lanes: Lane) -> None:
    tenure.lanes = {each.tenant: each for each in lanes}


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


# What the scan need not look for


def test_lanes_candidates_and_recent_ones_are_known(tenure: Tenure) -> None:
    claim(tenure, "held", "recent")
    tenure.candidates.at["candidate"] = 0.0
    tenure.forget(tenure.lanes["recent"], now=0.0, again_at=None)
    assert sorted(tenure.known()) == ["candidate", "held", "recent"]


def test_what_was_drained_minutes_ago_is_forgotten(tenure: Tenure) -> None:
    claim(tenure, "old", "new")
    tenure.forget(tenure.lanes["old"], now=0.0, again_at=None)
    tenure.forget(tenure.lanes["new"], now=10.0, again_at=None)
    tenure.renewal(RECENT_SECONDS + 5.0)
    assert tenure.known() == ["new"]


def test_a_lane_given_back_with_work_is_a_candidate_again(tenure: Tenure) -> None:
    claim(tenure, "a", "b")
    tenure.forget(tenure.lanes["a"], now=3.0, again_at=4.0)
    tenure.forget(tenure.lanes["b"], now=3.0, again_at=None)
    assert tenure.candidates.at == {"a": 4.0}
    assert tenure.lanes == {}


def test_the_databases_clock_is_carried_on(tenure: Tenure) -> None:
    assert tenure.db_now(2.5) - tenure.db_now(0.0) == 2_500_000
    assert math.isfinite(tenure.db_now(0.0))
