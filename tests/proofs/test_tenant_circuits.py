"""One tenant's trouble stays that tenant's, and costs nobody else anything."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from statistics import median

import pytest
from django.db import connection, transaction

from bench.measure import percentile
from circuits.models import TenantCircuit
from outbox.api import NewEvent, enqueue_many
from outbox.models import EventStatus, OutboxEvent
from somabrain.embedded.kafka import ACLS
from tests.proofs.room import BAD, OpenRoom, moves
from tests.proofs.sizes import size
from tests.proofs.stage import HANG_GUARD_SECONDS, Span, Stage, sent
from tests.proofs.verdicts import judge, least, most, none
from tests.support.waiting import wait_until

OTHERS = [f"tenant-{number:02}" for number in range(99)]


def _opened(times: int) -> Callable[[], bool]:
    return lambda: sum(to == "open" for to, _ in moves(BAD)) >= times


def _add_bad(topic: str, events: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox_events (tenant_id, topic, partition_key, dedupe_key, payload)"
            " SELECT %s, %s, 'k' || n %% 50, gen_random_uuid()::text, '{\"sequence\": 1}'"
            " FROM generate_series(1, %s) n",
            [BAD, topic, events],
        )


def _paced(stage: Stage, *, rate: int, seconds: float) -> tuple[float, float]:
    """Events of the others, each tenant in turn: how many per second were sent, and the p99 of their wait in ms."""
    begin, every = time.time(), len(OTHERS) / rate
    turns = max(2, round(seconds / every))
    for turn in range(turns):
        time.sleep(max(0.0, begin + turn * every - time.time()))
        with transaction.atomic():
            enqueue_many(NewEvent(topic=stage.topic, payload={"sequence": 1}, tenant_id=name) for name in OTHERS)
    others = OutboxEvent.objects.filter(topic=stage.topic)
    wait_until(lambda: not others.filter(status=EventStatus.PENDING).exists(), timeout=HANG_GUARD_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM sent_at - created_at)::float8, extract(epoch FROM sent_at)::float8"
            " FROM outbox_events WHERE topic = %s AND created_at > to_timestamp(%s)",
            [stage.topic, begin],
        )
        rows = cursor.fetchall()
    return len(rows) / (max(row[1] for row in rows) - begin), percentile([row[0] * 1_000 for row in rows], 0.99)


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("how", ["unknown", "refused"])
def test_b1_a_tenant_that_always_fails_is_left_alone(how: str, open_room: OpenRoom) -> None:
    """Its topic is unknown to the broker, or forbidden by Kafka's own access lists."""
    room, broker = open_room(**(ACLS if how == "refused" else {}))
    topic = f"{room.stage.topic}-bad"
    if how == "refused":
        broker.refuse(topic)
    interval = str(size(1, 5))
    room.start_relays(
        "counts", "counts", CIRCUITS_RESET_INTERVAL=interval, CIRCUITS_MAX_RESET_INTERVAL=interval, CIRCUITS_JITTER="0"
    )
    rate, seconds = size(500, 5_000), size(2, 40)
    _paced(room.stage, rate=rate, seconds=1)
    alone, beside = [], []
    for _ in range(size(1, 3)):
        alone.append(_paced(room.stage, rate=rate, seconds=seconds))
        _add_bad(topic, size(2_000, 50_000))
        before = sum(to == "open" for to, _ in moves(BAD))
        wait_until(_opened(before + 1))
        beside.append(_paced(room.stage, rate=rate, seconds=seconds))
        wait_until(_opened(before + 3))
        OutboxEvent.objects.filter(tenant_id=BAD).delete()
    room.stop_relays()
    probes = Counter[int]()
    for each in room.tried():
        if each.probe:
            probes[each.epoch] += each.events
    kept = median(rate for rate, _ in beside) / median(rate for rate, _ in alone)
    p99 = median(wait for _, wait in beside) / median(wait for _, wait in alone)
    judge(
        least("B1", f"others' rate beside one whose topic is {how}", kept, 0.98, small=0.5),
        most("B1", f"others' p99 beside one whose topic is {how}, to that alone", p99, 1.1),
        most("B1", f"events sent in an open window, topic {how}", max(probes.values()), 1, small=1),
        least("B1", f"probes, topic {how}", len(probes), 2, small=2),
        none("B1", f"circuits of others that moved, topic {how}", TenantCircuit.objects.exclude(tenant_id=BAD).count()),
    )


@pytest.mark.timeout(300)
def test_b3_a_relay_that_dies_in_its_probe_is_followed_after_the_lease(
    open_room: OpenRoom,
) -> None:
    """The circuit was opened before, its topic is well again, and the first relay that probes is killed."""
    room, _ = open_room()
    lease = size(2, 10)
    TenantCircuit.objects.create(
        tenant_id=BAD, name="publish", state="open", epoch=7, open_until="2020-01-01T00:00:00Z", probe_lease=lease
    )
    room.start_relays("dies")
    _add_bad(room.stage.topic, 100)
    wait_until(lambda: room.tried())
    room.start_relays("counts")
    wait_until(lambda: sent(BAD) == 100)
    room.stop_relays()
    first, second, *_ = room.tried()
    judge(
        most("B3", "a relay's next probe after the dead one's, s", second.at - first.at, lease + 1, small=lease + 10),
        least("B3", "and not before its lease is over, s", second.at - first.at, lease - 0.1, small=lease - 0.1),
        most("B3", "events in the second probe", second.events, 1, small=1),
    )
    assert TenantCircuit.objects.get(tenant_id=BAD).state == "closed"


@pytest.mark.timeout(1_200)
def test_f9_what_waits_behind_open_circuits_costs_the_others_nothing(
    open_room: OpenRoom,
) -> None:
    """A thousand tenants with an open circuit and a hundred events each beside a drain."""
    room, _ = open_room()
    stage, seconds = room.stage, size(1, 8)
    blocked = size(200, 1_000)
    rounds = size(1, 3)
    stage.seed(dict.fromkeys(OTHERS[:50], size(1_000, 30_000)))
    room.start_relays("counts")
    wait_until(lambda: sent() > 0)
    without: list[Span] = []
    beside: list[Span] = []
    for _ in range(rounds):
        without.append(stage.wait_while_at_work(seconds))
        _block(stage.topic, tenants=blocked, events=size(20, 100))
        time.sleep(size(0, 1))
        beside.append(stage.wait_while_at_work(seconds))
        OutboxEvent.objects.filter(tenant_id__startswith="blocked-").delete()
        TenantCircuit.objects.all().delete()
    touched = OutboxEvent.objects.filter(tenant_id__startswith="blocked-").exclude(status=EventStatus.PENDING).count()
    stage.wait_until_all_sent(timeout=600)
    room.stop_relays()
    kept = sum(each.rate() for each in beside) / max(1e-9, sum(each.rate() for each in without))
    judge(
        least("F9", f"others' rate beside {blocked:,} tenants behind open circuits", kept, 0.98),
        none("F9", "blocked events that were touched", touched),
    )


def _block(topic: str, *, tenants: int, events: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO circuits_tenant_circuits (tenant_id, name, state, epoch, open_until)"
            " SELECT 'blocked-' || n, 'publish', 'open', 1, '2100-01-01' FROM generate_series(1, %s) n",
            [tenants],
        )
        cursor.execute(
            "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload)"
            " SELECT 'blocked-' || n, %s, 'b' || e, '{\"sequence\": 1}'"
            " FROM generate_series(1, %s) n, generate_series(1, %s) e",
            [topic, tenants, events],
        )
