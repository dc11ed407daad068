"""Nothing committed is lost, nothing rolled back appears, keys keep their order: with kills, stops and many relays."""

from __future__ import annotations

import signal
import time

import pytest
from django.db import connection

from outbox import conf
from outbox.models import OutboxLane, OutboxRelay
from outbox.relay.publish import CHUNK
from tests.proofs.freezing import freeze_before_a_settle, lane_rows, receipts
from tests.proofs.history import Verdict
from tests.proofs.sizes import SLOW, size
from tests.proofs.stage import Stage, all_sent, sent, until
from tests.proofs.verdicts import Claim, judge, least, most, none
from tests.proofs.writers import Load
from tests.support.waiting import wait_until

TENANTS = {f"tenant-{number}": 1.0 for number in range(10)}


@pytest.mark.timeout(600)
def test_c5_exactly_the_committed_events_are_on_the_topic(stage: Stage) -> None:
    """Eight writers that roll back a fifth: the two sets of event ids are equal."""
    stage.start_relays(2)
    load = Load(topic=stage.topic, tenants=TENANTS, rolled_back=0.2, events=3, transactions=size(150, 2_000))
    with stage.writing(load, processes=8):
        pass
    stage.wait_until_all_sent()
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    judge(
        none("C5", "committed and not on Kafka, or on it and not committed", len(verdict.faults)),
        none("C5", "duplicates", len(verdict.duplicates)),
    )


@pytest.mark.timeout(600)
def test_f10_kills_lose_nothing_and_keep_the_order(stage: Stage) -> None:
    """A relay is killed every two seconds under load. No lease ends meanwhile: its session alone tells of its death."""
    stage.start_relays(2, OUTBOX_BATCH_SIZE="50", OUTBOX_LEASE_SECONDS="60")
    load = Load(topic=stage.topic, tenants=TENANTS, open_seconds=0.01, rolled_back=0.1)
    with stage.writing(load, processes=2):
        until(size(30, 60), stage.kill_relay, every=2)
        stage.wait_while_at_work(2)
    stage.wait_until_all_sent()
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    recoveries = [seconds for each in stage.orphaned for seconds in each.recoveries()]
    judge(
        # A few of quiet tenants that wake up beside a round come to it.
        *_of_kills(stage, verdict, batch_size=50, small=4),
        least("F10", "lanes with work whose relay was killed", len(recoveries), 30, small=5),
        most("F10", "until the last of them was served again, s", max(recoveries, default=0.0), 2, small=30),
    )


@pytest.mark.timeout(600)
def test_f10_kills_in_the_middle_of_a_backlog(stage: Stage) -> None:
    """The same while full rounds are under way."""
    stage.seed(dict.fromkeys(TENANTS, size(8_000, 60_000)))
    stage.start_relays(2, OUTBOX_BATCH_SIZE="500")
    for _ in range(size(3, 10)):
        before = sent()
        wait_until(lambda before=before: sent() > before or all_sent())  # type: ignore[misc]
        stage.kill_relay()
        stage.wait_until_publishing()
    stage.wait_until_all_sent()
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    judge(*_of_kills(stage, verdict, batch_size=500))


def _of_kills(stage: Stage, verdict: Verdict, *, batch_size: int, small: float = 2) -> tuple[Claim, ...]:
    by_kill, unexplained = verdict.duplicates_by_kill(stage.kills)
    rounds = max(by_kill.values(), default=0) / batch_size
    return (
        none("F10", "events lost or out of order", len(verdict.faults)),
        none("F10", "duplicates that no kill explains", len(unexplained)),
        most("F10", f"duplicates of one kill, in rounds of {batch_size}", rounds, 2, small=small),
    )


@pytest.mark.timeout(900)
def test_f11_eight_relays_and_one_lane_make_no_duplicates(stage: Stage) -> None:
    stage.start_relays(8)
    stage.seed({"acme": size(100_000, 1_000_000)})
    stage.wait_until_all_sent(timeout=600)
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    judge(none("F11", "duplicates of eight relays and one lane", len(verdict.duplicates)))


@pytest.mark.timeout(300)
def test_c4_sigterm_in_the_middle_of_a_batch_drains(stage: Stage) -> None:
    """Both end with 0 and hold nothing, and what they leave is published once by the next."""
    stage.seed(dict.fromkeys(TENANTS, size(6_000, 30_000)))
    stage.start_relays(2, **SLOW)
    wait_until(lambda: sent() > 0)
    began = time.monotonic()
    stage.stop_relays()
    drained = time.monotonic() - began
    assert not all_sent(), "they were to be stopped before the end"
    stage.relays.clear()
    stage.start_relays(2)
    stage.wait_until_all_sent()
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    judge(
        most("C4", "from SIGTERM to the end, s", drained, 10),
        none("C4", "duplicates", len(verdict.duplicates)),
    )


@pytest.mark.timeout(300)
def test_c3_a_relay_stopped_past_its_lease_changes_nothing_when_it_goes_on(stage: Stage) -> None:
    """SIGSTOP before a settle, SIGCONT after another has sent it all again: the settle is fenced off."""
    stage.seed(dict.fromkeys(TENANTS, size(6_000, 60_000)))
    stage.start_relays(1, OUTBOX_BATCH_SIZE="500")
    wait_until(lambda: sent() > 0)
    frozen = stage.relays[0]
    freeze_before_a_settle(stage, frozen)
    began = time.monotonic()
    try:
        lanes = OutboxLane.objects.filter(owner__isnull=False).values_list("tenant_id", flat=True)
        held = [f"lane {tenant} was lost" for tenant in lanes]
        relay_id = OutboxRelay.objects.get(pid=frozen.pid).pk
        stage.start_relays(1)
        wait_until(lambda: not OutboxLane.objects.filter(owner=relay_id).exists())
        taken_over = time.monotonic() - began
        stage.wait_until_all_sent()
        wait_until(lambda: not OutboxLane.objects.filter(owner__isnull=False).exists())
        events, rows = receipts(), lane_rows()
    finally:
        # What it was handing over when it was stopped, a chunk at most, it still hands over.
        stage.kills.append(time.time())
        frozen.send(signal.SIGCONT)
    wait_until(lambda: all(line in frozen.output() for line in held), explain=frozen.output)
    assert lane_rows() == rows
    stage.seed({"another": 2_000})
    stage.wait_until_all_sent()
    stage.stop_relays()
    changed = events.items() - receipts().items()
    verdict = stage.judge()
    assert not verdict.faults
    by_kill, unexplained = verdict.duplicates_by_kill(stage.kills)
    judge(
        none("C3", "events lost, out of order or with a false receipt", len(verdict.faults)),
        none("C3", "events that a late settle changed", len(changed)),
        none("C3", "duplicates that the stop does not explain", len(unexplained)),
        least("C3", "duplicates, hence events in a late settle", by_kill[0], 1, small=1),
        most("C3", "the same in rounds of 500", by_kill[0] / 500, 2, small=2),
        most("C3", "duplicates out of the chunk at hand when it goes on", by_kill[1], CHUNK, small=CHUNK),
        # Its leases end by themselves, and the other has to start first.
        most("C3", "until others have its lanes, s", taken_over, 2 * conf.get().lease_seconds, small=30),
    )


@pytest.mark.timeout(300)
def test_relays_outlive_their_sessions(stage: Stage) -> None:
    """What a restart of the database does to relays: every session of theirs ends at once, again and again."""
    stage.start_relays(2)

    def cut_off() -> None:
        stage.kills.append(time.time())
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'outbox-relay%' AND datname = current_database()"
            )

    with stage.writing(Load(topic=stage.topic, tenants=TENANTS), processes=2):
        until(size(6, 30), cut_off, every=2)
    stage.wait_until_all_sent()
    wait_until(lambda: OutboxRelay.objects.count() == 2)
    stage.stop_relays()
    verdict = stage.judge()
    assert not verdict.faults
    _, unexplained = verdict.duplicates_by_kill(stage.kills)
    assert not unexplained
