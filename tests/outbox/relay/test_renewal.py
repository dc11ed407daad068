"""What a renewal writes, and what it brings back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from outbox.relay.circuit import Probe
from outbox.relay.fetch import go_back_for_retries
from outbox.relay.fleet import Fleet
from outbox.relay.lanes import Lane
from outbox.relay.session import Connection
from outbox.relay.settle import Settle
from outbox.relay.tenure import FEW_LANES, MORE_OFTEN, Tenure
from tests.outbox.relay.conftest import Tables, lane
from tests.outbox.relay.tenures import ME, SOMEBODY_ELSE, claim, hold, promote, renew


def test_a_renewal_extends_the_deadline_from_before_it_was_asked_for(tenure: Tenure, session: Connection) -> None:
    claim(tenure, "acme", now=10.0)
    assert tenure.lanes["acme"].deadline == pytest.approx(10.0 + 4.5)
    job = tenure.renewal(12.0)
    job.run(session, ME)
    tenure.renewed(job, 0.0)
    assert tenure.lanes["acme"].deadline == pytest.approx(12.0 + 4.5)


@pytest.mark.parametrize(
    ("relays", "backlogged", "lanes", "rhythm"),
    [(2, 1, 2, MORE_OFTEN), (1, 1, 2, 1.0), (2, 0, 2, 1.0), (2, 1, FEW_LANES, MORE_OFTEN), (2, 1, FEW_LANES + 1, 1.0)],
)
def test_relays_that_divide_backlogs_renew_more_often(
    tenure: Tenure, relays: int, backlogged: int, lanes: int, rhythm: float
) -> None:
    """Unless that were much to write."""
    hold(tenure, *[lane(f"lane-{n}") for n in range(lanes)])
    tenure.fleet = Fleet(relays=relays)
    tenure.load.backlogged = backlogged
    assert tenure.rhythm == rhythm * tenure.settings.renew_seconds


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
    held = claimed_and_moved(tenure, session, to=9_000_000)
    assert held.rewind_to is None
    tables.execute("UPDATE outbox_lanes SET floor = '2000-01-01 00:00:02+00'")
    renew(tenure, session)
    assert held.rewind_to == 2_000_000


def test_a_second_one_above_the_lowered_floor_is_noticed_too(
    tenure: Tenure, session: Connection, tables: Tables
) -> None:
    """promote.sql lowers a floor by a microsecond more than needed, so that it always changes."""
    held = claimed_and_moved(tenure, session, to=9_000_000)
    tables.execute("UPDATE outbox_lanes SET floor = '2000-01-01 00:00:02+00'")
    renew(tenure, session)
    held.apply_rewind()
    move(held, to=9_000_000)
    tables.execute("UPDATE outbox_lanes SET floor = floor - interval '1 microsecond'")
    renew(tenure, session)
    assert held.rewind_to == 1_999_999


def test_a_retry_that_lowers_the_floor_to_where_it_stood_before_the_renewal_is_noticed(
    tenure: Tenure, session: Connection, tables: Tables
) -> None:
    """The floor had been lowered for the same event before; the renewal has raised it and is not yet taken note of."""
    held, created = lane_at_a_retry(tenure, session, tables)
    job = tenure.renewal(0.0)
    job.run(session, ME)
    promote(tables)
    assert tables.lane()["floor"] == created - timedelta(microseconds=1)
    go_back_for_retries(session, [held])
    assert held.rewind_to is not None
    held.apply_rewind()
    tenure.renewed(job, 0.0)
    go_back_for_retries(session, [held])
    assert held.rewind_to is not None


def test_a_retry_between_a_renewal_and_the_release_behind_it_stays_above_the_floor(
    tenure: Tenure, session: Connection, tables: Tables
) -> None:
    """Both were put together before: or the next holder would start behind the retry, with its successors."""
    held, created = lane_at_a_retry(tenure, session, tables)
    renewal = tenure.renewal(0.0)
    move(held, to=held.cursor + 1_000_000)
    release = release_of(tenure, held)
    renewal.run(session, ME)
    promote(tables)
    release.run(session, ME)
    row = tables.lane()
    assert (row["owner"], row["floor"]) == (None, created - timedelta(microseconds=1))


def test_a_release_right_behind_a_renewal_moves_the_floor_as_well(
    tenure: Tenure, session: Connection, tables: Tables
) -> None:
    claim(tenure, "acme")
    held = tenure.lanes["acme"]
    move(held, to=5_000_000)
    renewal = tenure.renewal(0.0)
    move(held, to=9_000_000)
    release = release_of(tenure, held)
    renewal.run(session, ME)
    release.run(session, ME)
    assert tables.lane()["floor"].isoformat() == "2000-01-01T00:00:09+00:00"


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


def release_of(tenure: Tenure, held: Lane) -> Settle:
    released = tenure.state(held, floor=held.floor, has_work=True)
    return Settle(released=[released], fenced={held.tenant: held.token})


def lane_at_a_retry(tenure: Tenure, session: Connection, tables: Tables) -> tuple[Lane, datetime]:
    """A lane of one event, a retry that has lowered its floor before and waits again; and when that was created."""
    retry = tables.event(*tables.add("k", status="scheduled", attempts=1, available_at="2001-01-01"))
    created: datetime = retry["created_at"]
    microseconds = (created - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    held = claimed_and_moved(tenure, session, to=microseconds)
    promote(tables)
    renew(tenure, session)
    held.apply_rewind()
    move(held, to=microseconds)
    held.blocked = True
    tables.execute("UPDATE outbox_events SET status = 'scheduled', available_at = '2001-01-01'")
    return held, created


def claimed_and_moved(tenure: Tenure, session: Connection, *, to: int) -> Lane:
    """A lane whose cursor has been written down."""
    claim(tenure, "acme")
    held = tenure.lanes["acme"]
    move(held, to=to)
    renew(tenure, session)
    return held
