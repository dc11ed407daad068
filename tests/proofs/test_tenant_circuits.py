"""One tenant's trouble stays that tenant's, and costs nobody else anything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest
from django.db import connection, transaction

from bench.measure import percentile
from circuits.models import TenantCircuit
from outbox.api import NewEvent, enqueue_many
from outbox.models import EventStatus, OutboxEvent, TenantPolicy
from somabrain.embedded.kafka import ACLS
from tests.conftest import StartManage
from tests.proofs.room import BAD, OpenRoom, Room, moves, windows
from tests.proofs.sizes import FULL, size
from tests.proofs.stage import HANG_GUARD_SECONDS, Stage, come_to_rest, sent
from tests.proofs.verdicts import judge, least, most, none
from tests.support.mock_cluster import MockCluster
from tests.support.waiting import wait_until

OTHERS = [f"tenant-{number:02}" for number in range(99)]
INTERVAL = 5.0 if FULL else 1.5
SEEN_SECONDS = 0.1 if FULL else 1.0
"""A circuit that opens is seen by every relay within so long; on a busy machine it may take longer."""
SETTINGS = {
    "CIRCUITS_RESET_INTERVAL": str(INTERVAL),
    "CIRCUITS_MAX_RESET_INTERVAL": str(INTERVAL),
    "CIRCUITS_JITTER": "0",
}
IMPATIENT = {} if FULL else {"OUTBOX_DELIVERY_TIMEOUT_SECONDS": "2"}


@dataclass(frozen=True)
class Trouble:
    """A room with a topic to which nothing can be written."""

    how: str
    room: Room
    topic: str


@pytest.fixture(params=["unknown", "refused", "silent"])
def trouble(
    request: pytest.FixtureRequest,
    open_room: OpenRoom,
    start_manage: StartManage,
    service_environment: dict[str, str],
    tmp_path: Path,
) -> Iterator[Trouble]:
    """Unknown to the broker, or forbidden by Kafka's own access lists, or on a partition that never answers."""
    if request.param != "silent":
        room, broker = open_room(**(ACLS if request.param == "refused" else {}))
        topic = f"{room.stage.topic}-bad"
        if request.param == "refused":
            broker.refuse(topic)
        yield Trouble(request.param, room, topic)
        return
    with MockCluster(brokers=2) as cluster:
        # The first one answers for the cluster: all that anybody wants of the second one is this partition.
        environment = {**service_environment, "KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers.split(",")[0]}
        room = Room(Stage(environment=environment, start_manage=start_manage, directory=tmp_path / "writers"), tmp_path)
        topic = f"{room.stage.topic}-bad"
        cluster.lead(room.stage.topic, broker=1, partitions=4)
        cluster.lead(topic, broker=2)
        cluster.round_trip(600_000, broker=2)
        try:
            yield Trouble(request.param, room, topic)
        finally:
            room.kill()


@pytest.mark.timeout(1_200)
def test_b1_a_tenant_that_always_fails_is_left_alone(trouble: Trouble) -> None:
    """The others are judged by their wait at a steady pace, and by their rate when they have more than can be sent."""
    room, how = trouble.room, trouble.how
    room.start_relays("counts", "counts", **SETTINGS, **IMPATIENT)
    _steady_waits(room.stage, seconds=1)
    waits, rates = _beside_to_alone(trouble)
    room.stop_relays()
    found = windows(BAD)
    sends = [room.tried_within(each.begin + SEEN_SECONDS, each.end) for each in found]
    early = [room.tried_within(each.begin + SEEN_SECONDS, each.probe) for each in found]
    judge(
        least("B1", f"others' full rate beside one whose topic is {how}", rates, 0.98),
        most("B1", f"others' p99 beside one whose topic is {how}, to that alone", waits, 1.1),
        most("B1", f"events sent in an open window, topic {how}", max(sends), 1, small=1),
        none("B1", f"events sent before the window's interval was over, topic {how}", sum(early)),
        least("B1", f"open windows with a probe, topic {how}", sum(map(bool, sends)), 2, small=2),
        none("B1", f"closings, topic {how}", sum(to == "closed" for to, _ in moves(BAD))),
        none(
            "B1",
            f"circuits of others that moved, topic {how}",
            TenantCircuit.objects.exclude(tenant_id__in=[BAD, "*"]).count(),
        ),
    )


def _beside_to_alone(trouble: Trouble) -> tuple[float, float]:
    """The others' p99 and full rate beside the tenant in trouble, its circuit open, to those alone.

    In turns, in which each comes first as often as the other.
    """
    waits: dict[bool, list[float]] = {False: [], True: []}
    rates: dict[bool, list[float]] = {False: [], True: []}
    for number in range(size(1, 4)):
        for is_beside in (False, True) if number % 2 == 0 else (True, False):
            with _in_trouble(trouble) if is_beside else nullcontext():
                _tidy_up()
                waits[is_beside] += _steady_waits(trouble.room.stage, seconds=size(2, 30))
                for _ in range(size(1, 2)):
                    _tidy_up()
                    rates[is_beside].append(_full_rate(trouble.room.stage))
    return percentile(waits[True], 0.99) / percentile(waits[False], 0.99), median(rates[True]) / median(rates[False])


@contextmanager
def _in_trouble(trouble: Trouble) -> Iterator[None]:
    before = _openings()
    _add_bad(trouble.topic, size(2_000, 50_000))
    wait_until(lambda: _openings() > before)
    yield
    wait_until(lambda: _openings() > before + 2)
    OutboxEvent.objects.filter(tenant_id=BAD).delete()


def _tidy_up() -> None:
    """Both sides are measured with the same table."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM outbox_events WHERE status = %s", [EventStatus.SENT])
    come_to_rest()


def _openings() -> int:
    return sum(to == "open" for to, _ in moves(BAD))


def _add_bad(topic: str, events: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox_events (tenant_id, topic, partition_key, dedupe_key, payload)"
            " SELECT %s, %s, 'k' || n %% 50, gen_random_uuid()::text, '{\"sequence\": 1}'"
            " FROM generate_series(1, %s) n",
            [BAD, topic, events],
        )


def _steady_waits(stage: Stage, *, seconds: float) -> list[float]:
    """The others' waits, seconds, while each in turn commits an event, at a pace that can be kept."""
    begin, every = time.time(), len(OTHERS) / size(500, 5_000)
    for turn in range(max(2, round(seconds / every))):
        time.sleep(max(0.0, begin + turn * every - time.time()))
        with transaction.atomic():
            enqueue_many(NewEvent(topic=stage.topic, payload={"sequence": 1}, tenant_id=name) for name in OTHERS)
    return [at - committed for committed, at in _sent_since(begin, stage.topic)]


def _full_rate(stage: Stage) -> float:
    """Events of the others per second, all of which are there before the first one is sent."""
    begin = time.time()
    pause = TenantPolicy.objects.create(tenant_id="*", paused=True)
    first = 1 + OutboxEvent.objects.of_tenant(OTHERS[0]).count()
    stage.seed(dict.fromkeys(OTHERS, size(100, 5_000)), first=first)
    pause.delete()
    at = [each for _, each in _sent_since(begin, stage.topic)]
    return len(at) / (max(at) - min(at))


def _sent_since(begin: float, topic: str) -> list[tuple[float, float]]:
    """When events were committed and sent, once all are."""
    pending = OutboxEvent.objects.filter(topic=topic, status=EventStatus.PENDING)
    wait_until(lambda: not pending.exists(), timeout=HANG_GUARD_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM created_at)::float8, extract(epoch FROM sent_at)::float8 FROM outbox_events"
            " WHERE topic = %s AND created_at > to_timestamp(%s)",
            [topic, begin],
        )
        return [(committed, at) for committed, at in cursor.fetchall()]


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
    over = TenantCircuit.objects.get(tenant_id=BAD).probe_until
    assert over is not None
    room.start_relays("counts")
    wait_until(lambda: sent(BAD) == 100)
    room.stop_relays()
    first, second, *_ = room.tried()
    judge(
        most("B3", "a relay's next probe after the dead one's, s", second.at - first.at, lease + 1, small=lease + 10),
        least("B3", "and that after the end of its lease, s", second.at - over.timestamp(), 0, small=0),
        most("B3", "events in the second probe", second.events, 1, small=1),
    )
    assert TenantCircuit.objects.get(tenant_id=BAD).state == "closed"
