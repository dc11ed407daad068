from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, LiteralString

import psycopg
import pytest
from confluent_kafka import KafkaError

from outbox import sql, wakeup
from outbox.relay.session import Connection
from outbox.relay.settle import MOST_HELD_RECORDED, Acknowledged, Failed, Job, LaneState, Renew, Settle, Settler
from tests.outbox.relay.conftest import Tables, another_session, is_leased_since
from tests.support.plans import plan
from tests.support.sessions import wait_until_somebody_waits_for_a_lock

ME, SOMEBODY_ELSE = uuid.uuid4(), uuid.uuid4()
HANG_SECONDS = 30
EPOCH = "2000-01-01 00:00:00+00"


@pytest.fixture
def leased(tables: Tables) -> Callable[..., None]:
    def lease(*tenants: str, owner: uuid.UUID = ME, token: int = 5, floor: str = EPOCH) -> None:
        for tenant in tenants:
            tables.execute(
                "INSERT INTO outbox_lanes (tenant_id, owner, token, leased_until, has_work, floor)"
                " VALUES (%(tenant)s, %(owner)s, %(token)s, now() + interval '5 s', true, %(floor)s)",
                tenant=tenant,
                owner=owner,
                token=token,
                floor=floor,
            )

    return lease


def acknowledged(*ids: int, tenant: str = "acme", token: int = 5) -> Settle:
    receipts = Acknowledged(tenant, token, list(ids), [3] * len(ids), [70 + n for n in range(len(ids))])
    return Settle(acknowledged=[receipts], fenced={tenant: token})


def failed(event_id: int, *, delay: float | None, tenant: str = "acme", message: str = "no") -> Settle:
    event = Failed(tenant, event_id, delay, KafkaError.POLICY_VIOLATION, "policy_violation", message)
    return Settle(failed=[event], fenced={tenant: 5})


def state(tenant: str = "acme", **changes: Any) -> LaneState:
    given: dict[str, Any] = {"token": 5, "virtual_time": 7.5, "rate_clock": None, "row_floor": 0, "floor": 1_000_000}
    return LaneState(tenant=tenant, **(given | changes))


# Acknowledged


def test_an_acknowledged_event_becomes_sent_with_its_receipt(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("acme")
    ids = tables.add("a", "b")
    acknowledged(*ids).run(session, ME)
    rows = [tables.event(event_id) for event_id in ids]
    assert [(row["status"], row["kafka_partition"], row["kafka_offset"]) for row in rows] == [
        ("sent", 3, 70),
        ("sent", 3, 71),
    ]
    assert all(row["sent_at"] >= row["created_at"] for row in rows)


@pytest.mark.parametrize(
    "operator",
    [
        "UPDATE outbox_events SET status = 'discarded'",
        "UPDATE outbox_events SET status = 'failed'",
        "UPDATE outbox_events SET status = 'scheduled', available_at = now() + interval '1 day'",
        "UPDATE outbox_events SET status = 'sent', kafka_partition = 9",
    ],
)
def test_an_acknowledged_event_becomes_sent_whatever_an_operator_did_meanwhile(
    session: Connection, tables: Tables, leased: Callable[..., None], operator: str
) -> None:
    leased("acme")
    (event_id,) = tables.add("a")
    tables.execute(operator)
    acknowledged(event_id).run(session, ME)
    row = tables.event(event_id)
    assert (row["status"], row["kafka_partition"], row["available_at"]) == ("sent", 3, None)


def test_an_acknowledged_event_that_was_deleted_is_no_error(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("acme")
    (event_id,) = tables.add("a")
    tables.execute("DELETE FROM outbox_events")
    acknowledged(event_id).run(session, ME)


# Failed


def test_a_failed_event_waits_for_its_next_attempt(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("acme")
    (event_id,) = tables.add("a", attempts=2)
    failed(event_id, delay=60.0).run(session, ME)
    row = tables.event(event_id)
    assert (row["status"], row["attempts"], row["error_class"], row["last_error"]) == (
        "scheduled",
        3,
        "policy_violation",
        "no",
    )
    waits = "SELECT available_at - clock_timestamp() BETWEEN '50 s' AND '60 s' FROM outbox_events"
    assert tables.one(waits) is True
    (attempt,) = tables.execute("SELECT * FROM outbox_attempts")
    assert (attempt["event_id"], attempt["relay_id"], attempt["code"], attempt["message"]) == (event_id, ME, 44, "no")


def test_what_is_held_burns_one_attempt_and_few_are_written_down(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("acme")
    ids = tables.add(*[f"key-{number}" for number in range(MOST_HELD_RECORDED + 5)])
    tables.execute("UPDATE outbox_events SET attempts = 7 WHERE id = %(id)s", id=ids[0])
    for recorded in (MOST_HELD_RECORDED, 2 * MOST_HELD_RECORDED):
        job = Settle(fenced={"acme": 5})
        job.failed = [replace(failed(event_id, delay=60.0).failed[0], held=True) for event_id in ids]
        job.run(session, ME)
        assert tables.one("SELECT count(*) FROM outbox_attempts") == recorded
        assert [tables.event(event_id)["attempts"] for event_id in ids] == [7] + [1] * (len(ids) - 1)
        tables.execute("UPDATE outbox_events SET status = 'pending', available_at = NULL")


def test_without_a_delay_it_is_a_dead_letter(session: Connection, tables: Tables, leased: Callable[..., None]) -> None:
    leased("acme")
    (event_id,) = tables.add("a")
    failed(event_id, delay=None).run(session, ME)
    row = tables.event(event_id)
    assert (row["status"], row["available_at"], row["attempts"]) == ("failed", None, 1)


def test_a_discarded_event_stays_discarded_when_it_fails(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("acme")
    (event_id,) = tables.add("a", status="discarded")
    failed(event_id, delay=1.0).run(session, ME)
    assert (tables.event(event_id)["status"], tables.event(event_id)["attempts"]) == ("discarded", 0)


def test_a_failed_event_that_was_deleted_is_no_error(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("acme")
    (event_id,) = tables.add("a")
    tables.execute("DELETE FROM outbox_events")
    failed(event_id, delay=1.0).run(session, ME)
    assert tables.execute("SELECT * FROM outbox_attempts") == []


@pytest.mark.parametrize("message", ["'; DROP TABLE outbox_events; --", '{"a": "b"}', "NULL", "a,b\\", "ü\n"])
def test_a_message_is_stored_as_it_is(
    session: Connection, tables: Tables, leased: Callable[..., None], message: str
) -> None:
    leased("acme")
    (event_id,) = tables.add("a")
    failed(event_id, delay=1.0, message=message).run(session, ME)
    assert tables.event(event_id)["last_error"] == message


# The fence


@pytest.mark.parametrize(
    ("owner", "token"),
    [(SOMEBODY_ELSE, 5), (ME, 6), (ME, 4), (SOMEBODY_ELSE, 6)],
    ids=["owner", "newer", "older", "both"],
)
def test_a_lane_with_another_owner_or_token_is_lost_and_nothing_of_it_is_written(
    session: Connection, tables: Tables, leased: Callable[..., None], owner: uuid.UUID, token: int
) -> None:
    """Owner and token: after a crash of the database a token may step back."""
    leased("lost", owner=owner, token=token)
    leased("kept")
    lost_ids, kept_ids = tables.add("a", "b", tenant="lost"), tables.add("a", "b", tenant="kept")
    before = tables.lane("lost")
    job = Settle(
        acknowledged=[
            Acknowledged("lost", 5, lost_ids[:1], [0], [0]),
            Acknowledged("kept", 5, kept_ids[:1], [0], [0]),
        ],
        failed=[
            Failed("lost", lost_ids[1], None, 44, "policy_violation", "no"),
            Failed("kept", kept_ids[1], None, 44, "policy_violation", "no"),
        ],
        released=[state("lost"), state("kept")],
        fenced={"lost": 5, "kept": 5},
    )
    job.run(session, ME)
    assert job.lost == {"lost"}
    assert tables.statuses(*lost_ids, *kept_ids) == ["pending", "pending", "sent", "failed"]
    assert [row["event_id"] for row in tables.execute("SELECT event_id FROM outbox_attempts")] == [kept_ids[1]]
    assert tables.lane("lost") == before
    assert tables.lane("kept")["owner"] is None


def test_a_lane_that_nobody_holds_any_more_is_lost(session: Connection, tables: Tables) -> None:
    tables.execute("INSERT INTO outbox_lanes (tenant_id, token) VALUES ('acme', 5)")
    (event_id,) = tables.add("a")
    job = acknowledged(event_id)
    job.run(session, ME)
    assert (job.lost, tables.statuses(event_id)) == ({"acme"}, ["pending"])


def test_a_lane_without_a_row_is_lost(session: Connection, tables: Tables) -> None:
    job = acknowledged(*tables.add("a"))
    job.run(session, ME)
    assert job.lost == {"acme"}


def test_a_lease_that_ran_out_unclaimed_is_still_ours(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("acme")
    tables.execute("UPDATE outbox_lanes SET leased_until = now() - interval '1 h'")
    (event_id,) = tables.add("a")
    acknowledged(event_id).run(session, ME)
    assert tables.statuses(event_id) == ["sent"]


def test_lanes_are_locked_in_the_order_of_their_names(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    """As everybody who locks several does, so that nobody waits in a circle."""
    names = [f"tenant-{n}" for n in range(10)]
    leased(*names)
    with another_session() as other, ThreadPoolExecutor(1) as thread:
        other.execute("BEGIN")
        other.execute("SELECT FROM outbox_lanes WHERE tenant_id = 'tenant-0' FOR NO KEY UPDATE")
        job = Settle(fenced=dict.fromkeys(reversed(names), 5))
        done = thread.submit(job.run, session, ME)
        wait_until_somebody_waits_for_a_lock()
        free = "SELECT FROM outbox_lanes WHERE tenant_id > 'tenant-0' FOR NO KEY UPDATE NOWAIT"
        assert other.execute(free).rowcount == 9
        other.execute("COMMIT")
        done.result(HANG_SECONDS)


def test_a_renewal_locks_lanes_in_the_order_of_their_names(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    names = [f"tenant-{n}" for n in range(10)]
    leased(*names)
    with another_session() as other, ThreadPoolExecutor(1) as thread:
        other.execute("BEGIN")
        other.execute("SELECT FROM outbox_lanes WHERE tenant_id = 'tenant-0' FOR NO KEY UPDATE")
        job = renewal(*[state(name) for name in reversed(names)])
        done = thread.submit(job.run, session, ME)
        wait_until_somebody_waits_for_a_lock()
        free = "SELECT FROM outbox_lanes WHERE tenant_id > 'tenant-0' FOR NO KEY UPDATE NOWAIT"
        assert other.execute(free).rowcount == 9
        other.execute("COMMIT")
        done.result(HANG_SECONDS)
        assert len(job.rows) == 10


LOCKS = [
    pytest.param("SELECT FROM outbox_lanes WHERE tenant_id = 'acme' FOR NO KEY UPDATE", id="lane"),
    pytest.param("SELECT FROM outbox_events WHERE tenant_id = 'acme' FOR UPDATE", id="event"),
]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lane_of_which_others_hold_something_locked_keeps_nobody_waiting(
    session: Connection, tables: Tables, leased: Callable[..., None], lock: LiteralString
) -> None:
    """It is lost: what was acknowledged of it comes again, once it is free."""
    session.execute("SET lock_timeout = '50ms'")
    leased("acme", "globex", "initech")
    ids = [tables.add("a", tenant=tenant)[0] for tenant in ("acme", "globex", "initech")]
    job = Settle(fenced={"acme": 5, "globex": 5, "initech": 5})
    for event_id, tenant in zip(ids[:2], ("acme", "globex"), strict=True):
        job.acknowledged += acknowledged(event_id, tenant=tenant).acknowledged
    job.failed = failed(ids[2], delay=60.0, tenant="initech").failed
    job.released = [state("acme"), state("globex")]
    with another_session() as other, other.transaction():
        other.execute(lock)
        job.run(session, ME)
        assert job.lost == {"acme"}
        assert tables.statuses(*ids) == ["pending", "sent", "scheduled"]
    assert [tables.lane(tenant)["owner"] for tenant in ("acme", "globex", "initech")] == [ME, None, ME]


def test_a_renewal_leaves_out_a_lane_that_others_hold_locked(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    session.execute("SET lock_timeout = '50ms'")
    leased("acme", "globex")
    with another_session() as other, other.transaction():
        other.execute("SELECT FROM outbox_lanes WHERE tenant_id = 'acme' FOR NO KEY UPDATE")
        job = renewal(state("globex"), state("acme"))
        job.run(session, ME)
    assert list(job.rows) == ["globex"]


def test_a_table_that_is_locked_is_waited_for(session: Connection, tables: Tables, leased: Callable[..., None]) -> None:
    """As by a migration: nothing else could be done meanwhile, and nothing is lost."""
    session.execute("SET lock_timeout = '50ms'")
    leased("acme")
    (event_id,) = tables.add("a")
    with another_session() as other, ThreadPoolExecutor(1) as thread:
        other.execute("BEGIN; LOCK TABLE outbox_lanes IN ACCESS EXCLUSIVE MODE")
        job = acknowledged(event_id)
        done = thread.submit(job.run, session, ME)
        with pytest.raises(TimeoutError):
            done.result(0.5)
        other.execute("COMMIT")
        done.result(HANG_SECONDS)
    assert (job.lost, tables.statuses(event_id)) == (set(), ["sent"])


def test_a_settle_is_one_transaction(session: Connection, tables: Tables, leased: Callable[..., None]) -> None:
    leased("acme")
    sent_id, failed_id = tables.add("a", "b")
    job = acknowledged(sent_id)
    job.released = [state()]
    job.failed = [Failed("acme", failed_id, 1e300, 44, "policy_violation", "an interval out of range")]
    with pytest.raises(psycopg.Error):
        job.run(session, ME)
    assert tables.statuses(sent_id, failed_id) == ["pending", "pending"]
    assert tables.lane()["owner"] == ME


# Release


def test_a_released_lane_is_free_and_keeps_its_account(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("acme")
    release = state(virtual_time=12.5, rate_clock=9_000_000, floor=2_000_000, has_work=False)
    Settle(released=[release], fenced={"acme": 5}).run(session, ME)
    row = tables.lane()
    assert (row["owner"], row["leased_until"], row["token"]) == (None, None, 5)
    assert (row["virtual_time"], row["has_work"]) == (12.5, False)
    assert row["rate_clock"].isoformat() == "2000-01-01T00:00:09+00:00"
    assert row["floor"].isoformat() == "2000-01-01T00:00:02+00:00"


def test_others_are_told_of_lanes_that_they_should_hold(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("acme", "globex")
    with another_session() as other:
        other.execute(f"LISTEN {wakeup.LANES_CHANNEL}")
        fenced = {"acme": 5, "globex": 5}
        handed_over = ["globex", "lost"]
        released = [state(name) for name in ("acme", *handed_over)]
        Settle(released=released, handed_over=handed_over, fenced=fenced | {"lost": 5}).run(session, ME)
        (notice,) = other.notifies(timeout=HANG_SECONDS, stop_after=1)
        assert notice.payload == f"{ME} globex"
        Settle(released=[state("acme")], fenced={"acme": 5}).run(session, ME)
        Settle(released=[state("lost")], handed_over=["lost"], fenced={"lost": 5}).run(session, ME)
        assert list(other.notifies(timeout=0.1)) == []


def test_events_and_release_are_settled_together(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    """Whoever sees the lane free sees its events sent."""
    leased("acme")
    (event_id,) = tables.add("a")
    job = acknowledged(event_id)
    job.released = [state()]
    with another_session() as other, ThreadPoolExecutor(1) as thread:
        other.execute("BEGIN")
        other.execute("SELECT FROM outbox_events FOR UPDATE")
        done = thread.submit(job.run, session, ME)
        wait_until_somebody_waits_for_a_lock()
        assert tables.lane()["owner"] == ME
        other.execute("COMMIT")
        done.result(HANG_SECONDS)
    assert (tables.lane()["owner"], tables.statuses(event_id)) == (None, ["sent"])


@pytest.mark.parametrize("how", ["renew", "release"])
def test_a_floor_that_somebody_lowered_meanwhile_stays_where_it_is(
    session: Connection, tables: Tables, leased: Callable[..., None], how: str
) -> None:
    leased("acme", floor="2000-01-01 00:00:10+00")
    tables.execute("UPDATE outbox_lanes SET floor = '2000-01-01 00:00:03+00'")
    given = state(row_floor=10_000_000, floor=20_000_000)
    job: Job = renewal(given) if how == "renew" else Settle(released=[given], fenced={"acme": 5})
    job.run(session, ME)
    assert tables.lane()["floor"].isoformat() == "2000-01-01T00:00:03+00:00"


# Renewal


def renewal(*states: LaneState) -> Renew:
    return Renew(lanes=list(states), lease=5.0, asked_at=0.0, block_changes={})


def renewed(job: Renew, tenant: str = "acme") -> dict[str, Any]:
    lane = ("tenant", "token", "floor", "weight", "rate", "quota", "paused", "blocked")
    names = (*lane, "epoch", "failing", "by_probe", "may_call")
    return dict(zip(names, job.rows[tenant], strict=True))


def test_a_renewal_extends_the_lease_charges_and_moves_the_floor(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("acme")
    tables.execute("UPDATE outbox_lanes SET leased_until = now()")
    job = renewal(state(virtual_time=99.0, floor=3_000_000))
    before = tables.one("SELECT clock_timestamp()")
    job.run(session, ME)
    row = tables.lane()
    assert (row["virtual_time"], row["floor"].isoformat()) == (99.0, "2000-01-01T00:00:03+00:00")
    assert is_leased_since(tables, before)
    assert renewed(job)["floor"] == 3_000_000


@pytest.mark.parametrize(("owner", "token"), [(SOMEBODY_ELSE, 5), (ME, 6)])
def test_a_lane_of_somebody_else_is_not_renewed(
    session: Connection, tables: Tables, leased: Callable[..., None], owner: uuid.UUID, token: int
) -> None:
    leased("acme", owner=owner, token=token)
    before = tables.lane()
    job = renewal(state())
    job.run(session, ME)
    assert job.rows == {}
    assert tables.lane() == before


def test_a_renewal_reads_the_policy(session: Connection, tables: Tables, leased: Callable[..., None]) -> None:
    leased("acme")
    job = renewal(state())
    job.run(session, ME)
    assert [renewed(job)[name] for name in ("weight", "rate", "quota", "paused")] == [1, None, None, False]
    tables.policy(weight=3, rate=10.5, batch_quota=7, paused=True)
    job = renewal(state())
    job.run(session, ME)
    assert [renewed(job)[name] for name in ("weight", "rate", "quota", "paused")] == [3, 10.5, 7, True]


@pytest.mark.parametrize("who", ["acme", "*"])
@pytest.mark.parametrize(("until", "paused"), [("2100-01-01", True), ("2001-01-01", False), (None, True)])
def test_a_pause_is_of_one_or_of_all_and_ends_by_itself(
    session: Connection, tables: Tables, leased: Callable[..., None], who: str, until: str | None, paused: bool
) -> None:
    leased("acme")
    tables.policy(who, paused=True, paused_until=until)
    job = renewal(state())
    job.run(session, ME)
    assert renewed(job)["paused"] is paused


@pytest.mark.parametrize(
    ("event", "blocked"),
    [
        ({"status": "scheduled", "attempts": 1, "available_at": "2100-01-01"}, True),
        ({"status": "scheduled", "attempts": 0, "available_at": "2100-01-01"}, False),
        ({"status": "pending", "attempts": 1}, False),
        ({"status": "failed", "attempts": 20}, False),
    ],
)
def test_a_renewal_says_whether_keys_wait_for_a_retry(
    session: Connection, tables: Tables, leased: Callable[..., None], event: dict[str, Any], blocked: bool
) -> None:
    leased("acme")
    tables.add("k", **event)
    tables.add("k", tenant="zeta", status="scheduled", attempts=1, available_at="2100-01-01")
    job = renewal(state())
    job.run(session, ME)
    assert renewed(job)["blocked"] is blocked


def test_a_renewal_of_nothing_still_reads_the_fleet(
    session: Connection, tables: Tables, leased: Callable[..., None]
) -> None:
    leased("a", "b", owner=SOMEBODY_ELSE)
    job = renewal()
    job.run(session, ME)
    assert job.rows == {}
    assert job.fleet[0] == 2


# The thread


@pytest.fixture
def settler(tables: Tables) -> Iterator[Settler]:
    made = Settler(owner=ME, wake=threading.Event().set)
    yield made
    made.abandon()


def finished(settler: Settler, count: int) -> list[Job]:
    found: list[Job] = []
    done = threading.Event()
    for _ in range(HANG_SECONDS * 100):
        found += settler.finished()
        if len(found) >= count:
            return found
        done.wait(0.01)
    raise AssertionError(f"{len(found)} of {count}")


def test_jobs_are_done_in_the_order_given_and_the_relay_is_woken(tables: Tables, leased: Callable[..., None]) -> None:
    leased("acme")
    woken = threading.Event()
    settler = Settler(owner=ME, wake=woken.set)
    jobs: list[Job] = [renewal(state(virtual_time=float(n))) for n in range(5)]
    for job in jobs:
        settler.submit(job)
    assert finished(settler, 5) == jobs
    assert woken.wait(30)
    assert tables.lane()["virtual_time"] == 4.0
    settler.close()


def test_closing_does_what_was_given_before(tables: Tables, leased: Callable[..., None]) -> None:
    leased("acme")
    settler = Settler(owner=ME, wake=lambda: None)
    for n in range(20):
        settler.submit(renewal(state(virtual_time=float(n))))
    settler.close()
    assert tables.lane()["virtual_time"] == 19.0


def test_a_job_that_fails_is_told_to_the_relay(settler: Settler, tables: Tables) -> None:
    tables.execute("SELECT pg_terminate_backend(%(pid)s)", pid=settler._connection.info.backend_pid)
    settler.submit(renewal())
    with pytest.raises(psycopg.OperationalError):
        finished(settler, 1)


def test_abandoning_ends_a_settle_that_waits(settler: Settler, tables: Tables, leased: Callable[..., None]) -> None:
    leased("acme")
    with another_session() as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM outbox_lanes FOR NO KEY UPDATE")
        settler.submit(renewal(state()))
        wait_until_somebody_waits_for_a_lock()
        settler.abandon()
        assert not settler._thread.is_alive()


def test_a_settle_reads_the_lanes_it_writes_and_no_others(session: Connection, tables: Tables) -> None:
    """Also for a relay that holds thousands."""
    tables.execute(
        "INSERT INTO outbox_lanes (tenant_id, owner, token, leased_until)"
        " SELECT 'tenant-' || n, %(me)s, 5, '2100-01-01' FROM generate_series(1, 5000) n",
        me=ME,
    )
    tables.execute("ANALYZE outbox_lanes")
    names = [f"tenant-{number}" for number in range(1, 101)]
    given = {"tenants": names, "tokens": [5] * 100, "owner": ME}
    assert plan(session, sql.load("fence"), given).rows_read() == 100
