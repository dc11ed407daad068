"""Attempts that fail for good and wait for their next one in the database: keys keep their order all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from outbox.models import OutboxAttempt, OutboxEvent
from somabrain.embedded.kafka import ACLS
from tests.proofs.room import OpenRoom
from tests.proofs.sizes import size
from tests.proofs.stage import HANG_GUARD_SECONDS, all_sent, sent
from tests.proofs.verdicts import judge, least, none
from tests.support.waiting import wait_until

TENANTS = {f"tenant-{number}": size(2_000, 40_000) for number in range(8)}
KEYS = 200
SETTINGS = {
    "OUTBOX_BACKOFF_BASE_SECONDS": "0.05",
    "OUTBOX_BACKOFF_MAX_SECONDS": "0.5",
    # No key twice on its way: that a batch behind one that was refused may be taken is not promised against.
    "OUTBOX_BATCH_SIZE": "100",
    "OUTBOX_MAX_ATTEMPTS": "1000",
    # A tenant that meets the refusal alone for a moment would be taken to be at fault, and burn no more attempts.
    "CIRCUITS_FAILURE_THRESHOLD": "1000000",
    # A report that a busy machine delays would be taken for lost, and its event sent again.
    "OUTBOX_DELIVERY_TIMEOUT_SECONDS": "60",
    "OUTBOX_MESSAGE_TIMEOUT_SECONDS": "80",
    "OUTBOX_LEASE_SECONDS": "90",
}

PATIENT = {"broker.session.timeout.ms": "60000"}
"""A broker that a busy machine keeps from its own heartbeats leads no partition any more."""


def _wait_for_more(count: Callable[[], int], more: int) -> None:
    before = count()
    wait_until(lambda: count() >= before + more or all_sent(), timeout=HANG_GUARD_SECONDS)


@pytest.mark.timeout(600)
def test_f14_attempts_that_are_burned_keep_the_order(open_room: OpenRoom) -> None:
    """A real broker and a producer as in production: the topic is forbidden and allowed again under eight relays, so
    that keys wait in the database, each for its own next attempt, while relays take lanes over from one another.
    """
    room, broker = open_room(**ACLS | PATIENT)
    stage = room.stage
    broker.refuse(stage.topic)
    stage.seed(TENANTS, keys=KEYS, payload_bytes=50)
    stage.start_relays(8, **SETTINGS)
    for number in range(size(3, 12)):
        if number:
            broker.refuse(stage.topic)
        _wait_for_more(OutboxAttempt.objects.count, KEYS)
        broker.allow(stage.topic)
        _wait_for_more(sent, 1_000)
    stage.wait_until_all_sent(timeout=2 * HANG_GUARD_SECONDS)
    stage.stop_relays()
    assert not [relay.output() for relay in stage.relays if "A relay failed" in relay.output()]
    verdict = stage.judge()
    assert not verdict.faults
    waited = OutboxEvent.objects.filter(attempts__gt=0).values("tenant_id", "partition_key").distinct().count()
    judge(
        none("F14", "inversions, the topic is forbidden at times", len(verdict.inversions)),
        none("F14", "duplicates, the topic is forbidden at times", len(verdict.duplicates)),
        least("F14", "attempts burned", OutboxAttempt.objects.count(), 1_000, small=KEYS),
        least("F14", "keys that waited in the database", waited, KEYS, small=100),
    )
