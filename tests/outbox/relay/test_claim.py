"""Who is asked for, who is granted, and at which virtual time a lane starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from outbox.relay.candidates import MOST, REFUSED_SECONDS
from outbox.relay.fairness import MOST_CREDIT
from outbox.relay.session import Connection
from outbox.relay.tenure import Tenure
from tests.outbox.relay.conftest import HANG_SECONDS, Tables, another_session, is_leased_since, lane
from tests.outbox.relay.tenures import ME, SOMEBODY_ELSE, claim, make_tenure, put_lane, renew
from tests.support.sessions import wait_until_somebody_waits_for_a_lock


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


def test_a_lane_that_was_anothers_while_it_was_claimed_counts_as_blocked(
    tenure: Tenure, session: Connection, tables: Tables
) -> None:
    """The claim sees the lane's row as it is, and the events as they were when its statement began."""
    (event,) = tables.add("k")
    put_lane(tables, token=7)
    with slow_clock(session, tables) as go_on, ThreadPoolExecutor(1) as thread:
        claimed = thread.submit(claim, tenure, "acme")
        wait_until_somebody_waits_for_a_lock()
        tables.execute("UPDATE outbox_lanes SET token = 8")
        tables.execute("UPDATE outbox_events SET status = 'scheduled', attempts = 1, available_at = '2100-01-01'")
        go_on()
        assert claimed.result(HANG_SECONDS) == ["acme"]
    assert (tables.lane()["token"], tables.statuses(event)) == (9, ["scheduled"])
    assert tenure.lanes["acme"].blocked
    renew(tenure, session)
    assert tenure.lanes["acme"].blocked


@contextmanager
def slow_clock(session: Connection, tables: Tables) -> Iterator[Callable[[], object]]:
    """The session's statements wait where they ask for the time, after they have begun, until told to go on."""
    tables.execute("SELECT pg_advisory_lock(4711)")
    tables.execute("""
        CREATE SCHEMA slow;
        CREATE FUNCTION slow.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared(4711);
            RETURN pg_catalog.clock_timestamp();
        END $$
    """)
    try:
        session.execute("SET search_path = slow, pg_catalog, public")
        yield lambda: tables.execute("SELECT pg_advisory_unlock(4711)")
    finally:
        tables.execute("SELECT pg_advisory_unlock_all()")
        session.execute("RESET search_path")
        tables.execute("DROP SCHEMA slow CASCADE")


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
