"""What takes effect within a second: the due time of an event, a pause, a limit, a task beside relays at work."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.models import Max, Min, Q
from django_q.tasks import async_task, result

from outbox.api import enqueue
from outbox.models import ActionSource, EventStatus, OutboxEvent, OutboxLane, OutboxRelay, TenantPolicy
from outbox.operations.audit import Operator
from outbox.operations.pause import pause, resume
from tests.proofs.sizes import FULL, SLOW, size
from tests.proofs.stage import HANG_GUARD_SECONDS, Stage, all_sent, sent
from tests.proofs.verdicts import Claim, judge, most, none
from tests.support.load import steady
from tests.support.waiting import wait_until

ANN = Operator(name="ann", source=ActionSource.COMMAND)
BUSY = "tenant-0"
"""One of the three that `steady` commits events of."""
ELEPHANT = "elephant"
LIMIT = 50
"""Events per second: a small part of what is committed of each of the three."""
BACKLOG = size(5_000, 100_000)
_sequence = itertools.count(1, BACKLOG)
TIMES = size(1, 5)
PROOF = "1 s"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("backlog", [0, 1_000_000] if FULL else [0])
def test_due_times_pauses_and_limits_take_effect_within_a_second(backlog: int, stage: Stage) -> None:
    """Of tenants that commit all the time; at full size also beside a million events of another one."""
    stage.seed({ELEPHANT: backlog})
    stage.start_relays(2)
    with steady(topic=stage.topic):
        wait_until(lambda: sent(BUSY) > 0)
        claims = [*_due_events(stage), *_pauses(stage, BUSY), *_pauses(stage, None), *_limits()]
    assert not backlog or sent(ELEPHANT) < backlog, "the backlog must not have ended"
    stage.stop_relays()
    judge(*(replace(claim, what=f"{claim.what}, beside {backlog:,} events") for claim in claims))


@pytest.mark.timeout(300)
def test_tasks_start_within_a_second_beside_relays_at_work(stage: Stage) -> None:
    """In the same workers, while they publish a backlog."""
    cluster = stage.start_manage("qcluster", env=stage.environment | SLOW)
    wait_until(lambda: OutboxRelay.objects.count() == 2, explain=cluster.output)
    # All at once, or the relays would be about as fast as what is seeded.
    with transaction.atomic():
        stage.seed(dict.fromkeys([f"tenant-{number}" for number in range(10)], size(10_000, 100_000)))
    wait_until(lambda: sent() > 0)
    waits = []
    for _ in range(size(1, 20)):
        queued = time.time()
        waits.append(result(async_task("time.time", save=True), wait=HANG_GUARD_SECONDS * 1_000) - queued)
    assert not all_sent(), "the backlog must not have ended"
    judge(most(PROOF, "a task beside relays at work, until it starts, s", max(waits), 1))


@pytest.mark.timeout(300)
def test_weights_and_quotas_take_effect_within_a_second(stage: Stage) -> None:
    """Of two tenants with backlogs, at one relay that is slow enough for these to last."""
    stage.seed(dict.fromkeys((BUSY, ELEPHANT), size(80_000, 400_000)))
    stage.start_relays(1, OUTBOX_BATCH_SIZE="50")
    wait_until(lambda: sent(BUSY) > 0)
    claims = [
        *_decided("a weight", {"weight": 9}, lambda share: share > 0.8),
        *_decided("a quota of a batch", {"batch_quota": 5}, lambda share: share < 0.2),
    ]
    for tenant in (BUSY, ELEPHANT):
        assert OutboxEvent.objects.pending().of_tenant(tenant).exists(), "no backlog must have ended"
    judge(*claims)


def _decided(what: str, values: dict[str, int], holds: Callable[[float], bool]) -> list[Claim]:
    """A policy, and the end of it: until the one tenant's share is what it is to be, and remains it."""
    begins, ends = [], []
    for _ in range(TIMES):
        TenantPolicy.objects.update_or_create(tenant_id=BUSY, defaults=values)
        begins.append(_until_shared(holds))
        TenantPolicy.objects.filter(tenant_id=BUSY).delete()
        ends.append(_until_shared(lambda share: 0.4 < share < 0.6))
    return [
        most(PROOF, f"{what}, until it holds, s", max(begins), 1),
        most(PROOF, f"the end of {what}, until it holds, s", max(ends), 1),
    ]


def _until_shared(holds: Callable[[float], bool]) -> float:
    """Seconds until the end of the last fifth of one in which the share was another."""
    since = time.time()
    wait_until(lambda: len(found := _shares(since)) > 4 and all(holds(share) for _, share in found[-3:]))
    return max((end for end, share in _shares(since) if not holds(share)), default=0.0)


def _shares(since: float) -> list[tuple[float, float]]:
    """Seconds until the end of each fifth of a second that is over, and the one tenant's part of its events."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ceil(extract(epoch FROM sent_at - to_timestamp(%(since)s)) * 5)::float8 / 5,"
            " count(*) FILTER (WHERE tenant_id = %(tenant)s)::float8 / count(*) FROM outbox_events"
            " WHERE sent_at > to_timestamp(%(since)s) GROUP BY 1 ORDER BY 1",
            {"since": since, "tenant": BUSY},
        )
        return [(end, share) for end, share in cursor.fetchall()][:-1]


def _due_events(stage: Stage) -> list[Claim]:
    """Delayed ones of a tenant that has nothing else, due one after the other."""
    due = {}
    with transaction.atomic():
        for number in range(TIMES * 20):
            at = datetime.now(UTC) + timedelta(seconds=0.5 + number / 20)
            event = enqueue(topic=stage.topic, payload={"sequence": number}, tenant_id="later", available_at=at)
            due[event.event_id] = at
    events = OutboxEvent.objects.filter(pk__in=due)
    wait_until(lambda: not events.exclude(status=EventStatus.SENT).exists())
    waits = [(at - due[event]).total_seconds() for event, at in events.values_list("id", "sent_at") if at]
    return [
        none(PROOF, "events sent before they were due", sum(wait < 0 for wait in waits)),
        most(PROOF, "an event, from when it is due until it is sent, s", max(waits), 1),
    ]


def _pauses(stage: Stage, tenant: str | None) -> list[Claim]:
    """Of a tenant, or of everyone, in the midst of a backlog: a lane without one would be given back anyway."""
    whose = tenant or "everyone"
    stops, starts, moved = [], [], 0
    for _ in range(TIMES):
        before = sent(BUSY)
        stage.seed({BUSY: BACKLOG}, first=next(_sequence))
        wait_until(lambda before=before: sent(BUSY) > before + BACKLOG / 10)  # type: ignore[misc]
        pause(tenant_id=tenant, reason="a proof", by=ANN)
        paused = time.time()
        moved += _sent_once_lanes_are_free(tenant)
        stops.append(_sent(tenant, last=True) - paused)
        resume(tenant_id=tenant, by=ANN)
        resumed = time.time()
        wait_until(lambda since=resumed: _sent(BUSY, last=True) > since)  # type: ignore[misc]
        starts.append(_sent(BUSY, since=resumed) - resumed)
    return [
        none(PROOF, f"a pause of {whose}: events sent once the lanes were free", moved),
        most(PROOF, f"a pause of {whose}, until the last event is sent, s", max(stops), 1),
        most(PROOF, f"the end of a pause of {whose}, until an event is sent, s", max(starts), 1),
    ]


def _sent_once_lanes_are_free(tenant: str | None) -> int:
    """While its application goes on committing."""
    whose = Q() if tenant is None else Q(tenant_id=tenant)
    held = OutboxLane.objects.filter(whose, owner__isnull=False)
    # A claim may have been on its way when the pause was committed.
    _wait_until_more_is_pending()
    wait_until(lambda: not held.exists())
    before = sent(tenant)
    _wait_until_more_is_pending()
    return sent(tenant) - before


def _wait_until_more_is_pending() -> None:
    pending = OutboxEvent.objects.pending().of_tenant(BUSY)
    enough = pending.count() + size(50, 800)
    wait_until(lambda: pending.count() > enough)


def _limits() -> list[Claim]:
    """A rate that is set, and one that is taken back: a tenth of a second with thrice as much is beyond the limit."""
    stops, starts = [], []
    for _ in range(TIMES):
        TenantPolicy.objects.update_or_create(tenant_id=BUSY, defaults={"rate": LIMIT})
        limited = time.time()
        _wait_until_more_is_pending()
        wait_until(lambda: not _tenths_beyond_the_limit(since=time.time() - 0.5))
        stops.append(max(_tenths_beyond_the_limit(since=limited), default=0.0))
        TenantPolicy.objects.filter(tenant_id=BUSY).update(rate=None)
        lifted = time.time()
        wait_until(lambda since=lifted: _tenths_beyond_the_limit(since=since))  # type: ignore[misc]
        starts.append(min(_tenths_beyond_the_limit(since=lifted)))
    return [
        most(PROOF, "a limit, until it holds, s", max(stops), 1),
        most(PROOF, "the end of a limit, until more is sent, s", max(starts), 1),
    ]


def _tenths_beyond_the_limit(*, since: float) -> list[float]:
    """Seconds until the end of each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ceil(extract(epoch FROM sent_at - to_timestamp(%(since)s)) * 10)::float8 / 10 FROM outbox_events"
            " WHERE tenant_id = %(tenant)s AND sent_at > to_timestamp(%(since)s)"
            " GROUP BY 1 HAVING count(*) > %(most)s",
            {"since": since, "tenant": BUSY, "most": 3 * LIMIT / 10},
        )
        return [row[0] for row in cursor.fetchall()]


def _sent(tenant: str | None, *, since: float = 0.0, last: bool = False) -> float:
    """When the first event after `since` was sent, or the last one of all; seconds since 1970."""
    events = OutboxEvent.objects.filter(sent_at__gt=datetime.fromtimestamp(since, UTC))
    mine = events if tenant is None else events.of_tenant(tenant)
    found = mine.aggregate(at=Max("sent_at") if last else Min("sent_at"))["at"]
    return float(found.timestamp())
