from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from outbox import conf, wakeup
from outbox.relay import settle, steering
from outbox.relay.candidates import PATIENCE_SECONDS
from outbox.relay.fleet import Fleet
from outbox.relay.lanes import LASTING_SECONDS, Failure, Lane
from outbox.relay.listen import Listener
from outbox.relay.outcome import Outcomes
from outbox.relay.session import Connection
from outbox.relay.steering import CLAIM_SECONDS, SHARED_PAUSE_SECONDS, Steering
from outbox.relay.watch import Found, Promoted, Stranded, Watcher
from tests.outbox.relay.conftest import Tables, another_session, lane, lanes_locked
from tests.support.waiting import wait_until

ME, SOMEBODY_ELSE = uuid.uuid4(), uuid.uuid4()


class Ear:
    """A listener that hears only what a test makes it hear."""

    def __init__(self, *, wake: object) -> None:
        self._heard: deque[Any] = deque()

    heard = Listener.heard

    def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
def steers(session: Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[Steering]:
    """One that hears and finds only what a test tells it; the database's clock stands still."""
    monkeypatch.setattr(Watcher, "start", lambda watcher: None)
    monkeypatch.setattr(steering, "Listener", Ear)
    made = Steering(relay_id=ME, connection=session, wake=threading.Event(), db_now=lambda now: 0)
    yield made
    # What it has been told of circuits is written before the tables are emptied.
    made.desk.close()
    made.abandon()


@pytest.fixture
def outcomes(steers: Steering) -> Outcomes:
    return Outcomes(settings=conf.get(), state=steers.tenure.state, broker_answers=lambda at: True, random=lambda: 1.0)


def hold(steers: Steering, *tenants: str) -> list[Lane]:
    """Claim these lanes, by the ordinary way."""
    steers.tenure.offer(tenants, now=0.0)
    steers.tenure.claim(list(tenants), limit=len(tenants), now=0.0)
    return [steers.tenure.lanes[tenant] for tenant in tenants]


def hold_with_backlog(steers: Steering, *names: str) -> None:
    for held in hold(steers, *names):
        held.counted = True


def tell(steers: Steering, *news: Any, now: float = 0.0) -> None:
    steers.watcher._news.extend(news)
    steers.hear(now)


def notify(steers: Steering, channel: str, payload: str, *, now: float = 0.0) -> None:
    steers.listener._heard.append((channel, payload))
    steers.hear(now)


def settled(steers: Steering, outcomes: Outcomes, *, now: float = 0.0) -> None:
    """Hand over what has been reported and wait until it is committed."""
    steers.submit(outcomes)
    until(steers, lambda: not steers.settling, now=now)


def until(steers: Steering, holds: Callable[[], bool], *, now: float) -> None:
    """Take note of what the settle thread has done until it holds."""

    def finished() -> bool:
        steers.finish(now)
        return holds()

    wait_until(finished)


def acknowledge(steers: Steering, held: Lane, *ids: int) -> None:
    held.ids += ids
    held.partitions += [0] * len(ids)
    held.offsets += range(len(ids))
    steers.busy[held.tenant] = held


# News


def test_tenants_that_were_found_are_candidates(steers: Steering) -> None:
    tell(steers, Found(["a", "b"], None), now=4.0)
    assert steers.tenure.candidates.at == {"a": 4.0, "b": 4.0}


def test_a_search_that_found_nothing_is_remembered(steers: Steering) -> None:
    tell(steers, Found([], 7.0))
    assert steers.searched == 7.0
    tell(steers, Found(["a"], None))
    assert steers.searched == 7.0
    tell(steers, Found(["b"], 8.0))
    assert [steers.searched] == [None]


@pytest.mark.parametrize("news", [Promoted, Stranded])
def test_an_event_behind_sends_its_lane_back(
    steers: Steering, news: Callable[[dict[str, int]], Promoted | Stranded]
) -> None:
    (held,) = hold(steers, "held")
    held.hungry = False
    tell(steers, news({"held": 500, "other": 700}))
    assert (held.rewind_to, held.hungry) == (500, True)
    assert list(steers.tenure.candidates.at) == ["other"]


def test_a_lane_that_another_relay_handed_over_is_asked_for_at_once(steers: Steering, tables: Tables) -> None:
    """Though it was refused a moment ago."""
    tables.execute(
        "INSERT INTO outbox_lanes (tenant_id, owner, leased_until) VALUES ('a', %(o)s, '2100-01-01')", o=SOMEBODY_ELSE
    )
    hold(steers, "held")
    steers.tenure.offer(["a"], now=1.0)
    steers.claim(1.0)
    tables.execute("UPDATE outbox_lanes SET owner = NULL, leased_until = NULL WHERE tenant_id = 'a'")
    notify(steers, "outbox_wake", "a", now=1.1)
    steers.claim(1.1)
    assert "a" not in steers.tenure.lanes
    notify(steers, wakeup.LANES_CHANNEL, f"{ME} a", now=1.1)
    assert list(steers.tenure.candidates.at) == []
    notify(steers, wakeup.LANES_CHANNEL, f"{SOMEBODY_ELSE} a,held", now=1.1)
    assert list(steers.tenure.candidates.at) == ["a"]
    steers.claim(1.1)
    assert "a" in steers.tenure.lanes


def test_more_lanes_handed_over_than_have_names_are_searched_for(steers: Steering) -> None:
    steers.tenure.offer(["a"], now=1.0)
    steers.tenure.candidates.refuse(["a"], now=1.0)
    notify(steers, wakeup.LANES_CHANNEL, f"{SOMEBODY_ELSE} {wakeup.EVERYONE}", now=1.0)
    assert steers.watcher.scan_now.is_set()
    steers.tenure.offer(["a"], now=1.0)
    assert list(steers.tenure.candidates.at) == ["a"]


def test_a_relay_without_the_broker_says_so_to_the_others(steers: Steering) -> None:
    steers.broker_changed(gone=True)
    steers.steer(0.1)
    assert steers.watcher.vitals.backlogged == 1
    steers.broker_changed(gone=False)
    steers.steer(0.2)
    assert steers.watcher.vitals.backlogged == 0


def test_nobody_leaves_lanes_to_a_relay_that_ends(steers: Steering) -> None:
    steers.leave_all()
    assert steers.watcher.vitals.backlogged == 1


def test_a_commit_wakes_a_held_lane_and_makes_another_a_candidate(steers: Steering) -> None:
    (held,) = hold(steers, "held")
    held.hungry = held.woken = False
    notify(steers, "outbox_wake", "held,other")
    assert (held.hungry, held.woken) == (True, True)
    assert list(steers.tenure.candidates.at) == ["other"]


def test_commits_of_everyone_wake_all_lanes_and_start_a_search(steers: Steering) -> None:
    (held,) = hold(steers, "held")
    held.hungry = held.woken = False
    notify(steers, "outbox_wake", "*")
    assert (held.hungry, held.woken) == (True, True)
    assert steers.watcher.scan_now.is_set()


@pytest.mark.parametrize("payload", ["", "'; DROP TABLE", "a" * 65, "a" * 7_000, ",,,", "ü"])
def test_a_notification_that_names_no_tenant_does_no_harm(steers: Steering, tables: Tables, payload: str) -> None:
    """Anyone who may connect may notify."""
    notify(steers, "outbox_wake", payload)
    steers.steer(1.0)
    assert tables.execute("SELECT * FROM outbox_lanes") == []


def test_a_changed_policy_is_read_at_once(steers: Steering, tables: Tables) -> None:
    (held,) = hold(steers, "acme")
    steers.steer(1.0)
    until(steers, lambda: not steers._renewing, now=1.0)
    tables.policy("acme", weight=5)
    steers.steer(1.1)
    assert not steers._renewing
    notify(steers, "outbox_policy", "", now=1.1)
    steers.steer(1.1)
    until(steers, lambda: held.weight == 5, now=1.1)
    assert steers.watcher.scan_now.is_set()


def test_the_error_of_any_helper_comes_out(steers: Steering) -> None:
    for heard in (steers.watcher._news, steers.listener._heard, steers.settler._done):
        heard.append(RuntimeError("gone"))
        with pytest.raises(RuntimeError):
            steers.hear(0.0)


# Leases


def test_leases_are_renewed_on_a_rhythm_and_one_at_a_time(steers: Steering, tables: Tables) -> None:
    hold(steers, "acme")
    with another_session() as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM outbox_lanes FOR NO KEY UPDATE")
        steers.steer(1.0)
        steers.steer(5.0)
        assert steers.settler._jobs.qsize() <= 1
        other.execute("COMMIT")
    until(steers, lambda: not steers._renewing, now=5.0)
    assert steers.settler._jobs.empty()


def test_a_renewal_makes_dry_lanes_look_once_more(steers: Steering) -> None:
    """For what no notification told, and for what committed late."""
    (held,) = hold(steers, "acme")
    held.hungry = held.woken = False
    steers.steer(1.0)
    assert (held.hungry, held.woken) == (True, False)


def test_candidates_are_claimed_up_to_the_target(steers: Steering) -> None:
    steers.tenure.fleet = Fleet(relays=2)
    steers.tenure.offer([f"tenant-{n}" for n in range(10)], now=0.0)
    steers.steer(1.0)
    assert len(steers.tenure.lanes) == 5


def test_claims_are_not_made_all_the_time(steers: Steering) -> None:
    steers.tenure.offer(["a"], now=0.0)
    steers.claim(1.0)
    steers.tenure.offer(["b"], now=0.0)
    steers.claim(1.0 + CLAIM_SECONDS / 2)
    assert list(steers.tenure.lanes) == ["a"]
    steers.claim(1.0 + CLAIM_SECONDS * 2)
    assert list(steers.tenure.lanes) == ["a", "b"]


def test_a_full_relay_claims_nothing(steers: Steering) -> None:
    steers.tenure.settings = replace(steers.tenure.settings, max_lanes=2)
    hold(steers, "a", "b")
    steers.tenure.offer(["c"], now=0.0)
    steers.claim(1.0, beyond=True)
    assert "c" in steers.tenure.candidates.at
    steers.tenure.lanes["a"].leaving = True
    steers.claim(1.0)
    assert "c" in steers.tenure.lanes


def test_woken_lanes_are_claimed_beyond_a_relays_part(steers: Steering) -> None:
    hold_with_backlog(steers, "a", "b")
    steers.tenure.fleet = Fleet(leased=2, backlogged=2, relays=2)
    steers.tenure.offer(["c"], now=1.0)
    steers.claim(1.0)
    assert "c" in steers.tenure.candidates.at
    steers.claim(1.0, beyond=True)
    assert "c" in steers.tenure.lanes


def test_beside_a_backlog_woken_lanes_are_left_to_relays_without_one_for_a_moment(steers: Steering) -> None:
    hold_with_backlog(steers, "busy")
    steers.tenure.fleet = Fleet(leased=2, backlogged=1, relays=2)
    steers.steer(1.0)
    steers.tenure.offer(["woken"], now=2.0)
    steers.claim(2.0, beyond=True)
    assert "woken" in steers.tenure.candidates.at
    steers.claim(2.0 + PATIENCE_SECONDS * 1.1, beyond=True)
    assert "woken" in steers.tenure.lanes


def test_the_others_hear_of_a_backlog_that_lasts(steers: Steering) -> None:
    hold(steers, "busy")
    steers.steer(LASTING_SECONDS)
    assert steers.watcher.vitals.backlogged == 0
    steers.steer(1.1 * LASTING_SECONDS)
    assert steers.watcher.vitals.backlogged == 1


def test_candidates_whose_time_has_not_come_are_not_asked_for(steers: Steering) -> None:
    steers.tenure.candidates.at["a"] = 5.0
    steers.claim(4.0)
    assert steers.tenure.lanes == {}


# Settling


def test_reports_are_settled_and_counted(steers: Steering, outcomes: Outcomes, tables: Tables) -> None:
    (held,) = hold(steers, "acme")
    sent, retried, dead = tables.add("a", "b", "c")
    acknowledge(steers, held, sent)
    for event_id, attempts in ((retried, 0), (dead, 1_000)):
        row = (1, event_id, "news", "d", "k", "{}", 0, attempts, None, 2)
        held.failures.append(Failure(row, KafkaError.POLICY_VIOLATION, "no", False))
    settled(steers, outcomes)
    assert tables.statuses(sent, retried, dead) == ["sent", "scheduled", "failed"]
    assert (steers.tally.published, steers.tally.failed_attempts, steers.tally.dead_letters) == (1, 2, 1)
    assert steers.busy == {}
    assert held.clean


def test_one_settle_may_wait_for_another_and_no_more(steers: Steering, outcomes: Outcomes, tables: Tables) -> None:
    """Reports that come meanwhile wait for the next one."""
    (held,) = hold(steers, "acme")
    first, second, third = tables.add("a", "b", "c")
    with lanes_locked():
        for event_id in (first, second, third):
            acknowledge(steers, held, event_id)
            steers.submit(outcomes)
        assert (held.ids, held.settling, held.clean) == ([third], 2, False)
    until(steers, lambda: not steers.settling, now=0.0)
    assert held.tenant in steers.busy
    settled(steers, outcomes)
    assert tables.statuses(first, second, third) == ["sent", "sent", "sent"]


def test_what_is_settled_of_an_earlier_round_is_behind(steers: Steering, outcomes: Outcomes, tables: Tables) -> None:
    (held,) = hold(steers, "acme")
    (event_id,) = tables.add("a")
    with lanes_locked():
        steers.pipeline.begin_round()
        acknowledge(steers, held, event_id)
        steers.submit(outcomes)
        behind = [steers.pipeline.behind]
        steers.pipeline.begin_round()
        behind.append(steers.pipeline.behind)
    assert behind == [False, True]
    until(steers, lambda: not steers.pipeline.behind, now=0.0)


def test_a_round_is_settled_before_its_end_once_that_is_worth_it(
    steers: Steering, outcomes: Outcomes, tables: Tables
) -> None:
    (held,) = hold(steers, "acme")
    first, second = tables.add("a", "b")
    acknowledge(steers, held, first)
    steers.submit_early(outcomes, least=2)
    assert held.settling == 0, "one event is not worth it"
    acknowledge(steers, held, second)
    with lanes_locked():
        steers.submit_early(outcomes, least=2)
        assert held.settling == 1
        acknowledge(steers, held, *tables.add("c", "d"))
        steers.submit_early(outcomes, least=2)
        assert held.settling == 1, "the settle thread has enough to do"
    until(steers, lambda: not steers.settling, now=0.0)
    assert tables.statuses(first, second) == ["sent", "sent"]


def test_a_lane_that_is_being_published_is_settled_after_it(
    steers: Steering, outcomes: Outcomes, tables: Tables
) -> None:
    (held,) = hold(steers, "acme")
    acknowledge(steers, held, *tables.add("a"))
    held.in_round = True
    steers.submit(outcomes)
    assert not steers.settling
    held.in_round = False
    settled(steers, outcomes)
    assert tables.count("sent") == 1


def test_a_lane_is_given_back_once_and_after_its_settle(steers: Steering, outcomes: Outcomes, tables: Tables) -> None:
    (held,) = hold(steers, "acme")
    acknowledge(steers, held, *tables.add("a"))
    with lanes_locked():
        steers.submit(outcomes)
        leave(steers, held)
        steers.submit(outcomes)
        assert held.settling == 1
    until(steers, lambda: not steers.settling, now=0.0)
    assert tables.lane()["owner"] == ME
    settled(steers, outcomes)
    assert tables.lane()["owner"] is None


def test_lanes_with_nothing_to_report_are_not_busy(steers: Steering, outcomes: Outcomes) -> None:
    (clean, waiting) = hold(steers, "clean", "waiting")
    waiting.outstanding = 1
    steers.busy = {"clean": clean, "waiting": waiting}
    steers.submit(outcomes)
    assert list(steers.busy) == ["waiting"]


def test_a_lane_that_was_taken_over_is_dropped_with_everything_of_it(
    steers: Steering, outcomes: Outcomes, tables: Tables
) -> None:
    lost, kept = hold(steers, "lost", "kept")
    (lost_id,), (kept_id,) = tables.add("a", tenant="lost"), tables.add("a", tenant="kept")
    tables.execute("UPDATE outbox_lanes SET token = token + 1 WHERE tenant_id = 'lost'")
    acknowledge(steers, lost, lost_id)
    acknowledge(steers, kept, kept_id)
    settled(steers, outcomes, now=10.0)
    assert tables.statuses(lost_id, kept_id) == ["pending", "sent"]
    assert list(steers.tenure.lanes) == ["kept"]
    assert steers.busy == {}
    assert (steers.tally.lanes_lost, steers.tally.published) == (1, 1)
    assert steers.tenure.candidates.at["lost"] > 10.0
    assert not lost.may_fetch(0.0)


def test_a_lane_that_a_renewal_finds_taken_over_is_dropped(
    steers: Steering, outcomes: Outcomes, tables: Tables
) -> None:
    (held,) = hold(steers, "acme")
    held.outstanding = 1
    steers.busy["acme"] = held
    tables.execute("UPDATE outbox_lanes SET owner = %(o)s", o=SOMEBODY_ELSE)
    steers.steer(1.0)
    until(steers, lambda: not steers._renewing, now=1.0)
    assert (steers.tenure.lanes, steers.busy, steers.tally.lanes_lost) == ({}, {}, 1)


# Giving back


def leave(steers: Steering, held: Lane) -> None:
    held.leaving = True
    steers.busy[held.tenant] = held


def test_a_dry_lane_is_given_back_and_not_asked_for_again(steers: Steering, outcomes: Outcomes, tables: Tables) -> None:
    (held,) = hold(steers, "acme")
    held.hungry = held.woken = False
    held.touched_at = -99.0
    steers.tenure.choose_leavers(1.0)
    steers.steer(1.0)
    settled(steers, outcomes)
    until(steers, lambda: not steers.tenure.lanes, now=1.0)
    row = tables.lane()
    assert (row["owner"], row["has_work"]) == (None, False)
    assert (steers.tenure.lanes, steers.tenure.candidates.at, steers.busy) == ({}, {}, {})


def test_a_lane_that_was_never_fetched_can_be_given_back(steers: Steering, outcomes: Outcomes, tables: Tables) -> None:
    hold(steers, "acme")
    steers.leave_all()
    settled(steers, outcomes)
    row = tables.lane()
    assert (row["owner"], row["has_work"], row["virtual_time"]) == (None, True, 0.0)
    assert row["floor"].isoformat() == "2000-01-01T00:00:00+00:00"


def test_a_wake_up_while_a_lane_is_being_released_is_honoured_afterwards(
    steers: Steering, outcomes: Outcomes, tables: Tables
) -> None:
    (held,) = hold(steers, "acme")
    held.hungry = held.woken = False
    with another_session() as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM outbox_lanes FOR NO KEY UPDATE")
        leave(steers, held)
        steers.submit(outcomes)
        notify(steers, "outbox_wake", "acme", now=3.0)
        assert steers.tenure.candidates.at == {}
        other.execute("COMMIT")
    until(steers, lambda: not steers.settling, now=4.0)
    assert steers.tenure.candidates.at == {"acme": 4.0}
    steers.claim(4.0)
    assert "acme" in steers.tenure.lanes


@pytest.mark.parametrize(("relays", "pause"), [(1, 0.0), (2, SHARED_PAUSE_SECONDS)])
def test_a_lane_given_back_with_work_is_left_to_the_others_for_a_moment(
    steers: Steering, outcomes: Outcomes, relays: int, pause: float
) -> None:
    (held,) = hold(steers, "acme")
    held.woken = False
    steers.tenure.fleet = Fleet(relays=relays)
    leave(steers, held)
    settled(steers, outcomes, now=10.0)
    assert steers.tenure.candidates.at == {"acme": 10.0 + pause}


@pytest.mark.parametrize("woken", [True, False])
def test_a_lane_at_the_end_of_its_rate_is_asked_for_when_it_may_send_again(
    steers: Steering, outcomes: Outcomes, woken: bool
) -> None:
    (held,) = hold(steers, "acme")
    held.woken, held.rate, held.rate_clock = woken, 0.1, 0
    leave(steers, held)
    settled(steers, outcomes, now=0.0)
    assert steers.tenure.candidates.at == {"acme": pytest.approx(10.0)}


def test_a_lane_with_reports_missing_is_given_back_after_them(
    steers: Steering, outcomes: Outcomes, tables: Tables
) -> None:
    (held,) = hold(steers, "acme")
    first, second = tables.add("a", "b")
    held.outstanding = 1
    acknowledge(steers, held, first)
    leave(steers, held)
    settled(steers, outcomes)
    assert tables.lane()["owner"] == ME
    held.outstanding = 0
    acknowledge(steers, held, second)
    settled(steers, outcomes)
    assert tables.lane()["owner"] is None
    assert tables.statuses(first, second) == ["sent", "sent"]


def test_a_lane_claimed_again_under_a_new_token_is_not_taken_for_the_one_released(steers: Steering) -> None:
    old, new = lane("acme", token=1), lane("acme", token=2)
    steers.tenure.lanes["acme"] = new
    job = settle.Settle(released=[steers.tenure.state(old, floor=0, has_work=False)])
    steers.pipeline.begin(job, [old])
    old.begin_settle()
    steers._finished(job, 0.0)
    assert steers.tenure.lanes == {"acme": new}


def test_all_lanes_are_given_back_at_the_end(steers: Steering, outcomes: Outcomes, tables: Tables) -> None:
    hold(steers, "a", "b", "c")
    steers.leave_all()
    settled(steers, outcomes)
    assert tables.one("SELECT count(*) FROM outbox_lanes WHERE owner IS NOT NULL") == 0


# Rest


def test_the_next_duty_is_a_renewal_or_a_candidate(steers: Steering) -> None:
    steers._renew_at = 10.0
    assert steers.next_duty(9.0) == pytest.approx(1.0)
    steers.tenure.candidates.at["a"] = 9.5
    assert steers.next_duty(9.0) == pytest.approx(0.5)
    assert steers.next_duty(11.0) == CLAIM_SECONDS


def test_candidates_that_find_no_place_do_not_keep_the_relay_awake(steers: Steering) -> None:
    steers._renew_at = 10.0
    steers.tenure.settings = replace(steers.tenure.settings, max_lanes=1)
    hold(steers, "a")
    steers.tenure.candidates.at["b"] = 0.0
    assert steers.next_duty(9.0) == pytest.approx(1.0)


def test_candidates_are_left_to_other_relays_for_a_moment_only(steers: Steering) -> None:
    """With its part this relay may take them all the same: the others' count of lanes may be as old as its own."""
    steers._renew_at = 10.0
    hold_with_backlog(steers, "a", "b")
    steers.tenure.fleet = Fleet(leased=2, backlogged=2, relays=2)
    steers.tenure.offer(["c"], now=9.0)
    assert steers.next_duty(9.0) == pytest.approx(PATIENCE_SECONDS)
    steers.claim(9.0 + PATIENCE_SECONDS * 0.9)
    assert "c" not in steers.tenure.lanes
    steers.claim(9.0 + PATIENCE_SECONDS)
    assert "c" in steers.tenure.lanes


@pytest.mark.parametrize(("shared", "again"), [(False, 5.0), (True, 5.0 + SHARED_PAUSE_SECONDS)])
def test_a_lane_that_was_given_to_the_others_is_left_to_them_although_it_has_woken(
    steers: Steering, outcomes: Outcomes, shared: bool, again: float
) -> None:
    (held,) = hold(steers, "acme")
    steers.tenure.fleet = Fleet(leased=2, relays=2)
    held.shared = shared
    leave(steers, held)
    steers.submit(outcomes)
    held.woken = True
    until(steers, lambda: not steers.settling, now=5.0)
    assert steers.tenure.candidates.at == {"acme": again}


# Beginning and end


def test_closing_ends_everything(session: Connection, tables: Tables) -> None:
    made = Steering(relay_id=ME, connection=session, wake=threading.Event(), db_now=lambda now: 0)
    made.close()
    wait_until(lambda: not any(tables.sessions_of_relays(name) for name in ("watch", "listen", "settle")))
    assert tables.execute("SELECT * FROM outbox_relays") == []


@pytest.mark.parametrize("part", ["Watcher", "Tenure", "Listener", "Settler"])
def test_a_start_that_fails_leaves_nothing_open(
    session: Connection, tables: Tables, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("no")

    before = set(threading.enumerate())
    monkeypatch.setattr(steering, part, fail)
    with pytest.raises(RuntimeError):
        Steering(relay_id=ME, connection=session, wake=threading.Event(), db_now=lambda now: 0)
    wait_until(lambda: not any(tables.sessions_of_relays(name) for name in ("watch", "listen", "settle")))
    wait_until(lambda: set(threading.enumerate()) <= before)
