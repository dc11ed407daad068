"""What a proof needs on stage: a topic, writers and relays as real processes, and the judgement at the end."""

from __future__ import annotations

import logging
import random
import signal
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.db import connection

from outbox.models import EventStatus, OutboxEvent, OutboxLane, OutboxRelay
from tests.conftest import StartManage
from tests.proofs import history
from tests.proofs.sizes import FULL
from tests.proofs.writers import TABLE, Load, Writers
from tests.support.processes import ManageProcess
from tests.support.waiting import wait_until

logger = logging.getLogger(__name__)

HANG_GUARD_SECONDS = 120
_FIRST_NAMES_READY = "publishes"
_SHOWN = 3
_STRANDED = "events behind the floor"


@dataclass(frozen=True, slots=True)
class Orphaned:
    """Lanes of a relay that was killed; moments are seconds since 1970."""

    lanes: tuple[str, ...]
    killed: float
    gone: float
    """When nothing of it could run any more."""

    def recoveries(self) -> list[float]:
        """For each lane with work after the kill: how long the first of it waited, at most since the kill."""
        statement = (
            "SELECT extract(epoch FROM min(sent_at) - greatest(min(created_at), to_timestamp(%s)))::float8"
            " FROM outbox_events WHERE tenant_id = ANY (%s) AND sent_at > to_timestamp(%s) GROUP BY tenant_id"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, [self.killed, list(self.lanes), self.gone])
            return [seconds for (seconds,) in cursor.fetchall()]


@dataclass
class Stage:
    environment: dict[str, str]
    start_manage: StartManage
    directory: Path
    topic: str = field(default_factory=lambda: f"proof-{uuid.uuid4().hex[:12]}")
    relays: list[ManageProcess] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    """When something was cut off that may have been under way: a relay, a broker, a database."""
    orphaned: list[Orphaned] = field(default_factory=list)
    journals: list[Path] = field(default_factory=list)

    @property
    def bootstrap_servers(self) -> str:
        return self.environment["KAFKA_BOOTSTRAP_SERVERS"]

    def start_relays(self, count: int, **settings: str) -> None:
        """Starts so many and waits until each publishes; those that take their places have the same settings."""
        self.environment |= settings
        self._launch(count)
        self.wait_until_publishing()

    def kill_relay(self) -> None:
        """SIGKILL to one of those that hold lanes. Another is started in its place, and not waited for."""
        idle: list[tuple[ManageProcess, tuple[str, ...]]] = [(relay, ()) for relay in self.relays]
        victim, lanes = random.choice(self._holders() or idle)  # noqa: S311  chaos, not a secret
        self.relays.remove(victim)
        self.kills.append(time.time())
        victim.send(signal.SIGKILL)
        victim.kill()
        self.orphaned.append(Orphaned(lanes, killed=self.kills[-1], gone=time.time()))
        self._launch(1)

    def wait_until_publishing(self) -> None:
        for relay in self.relays:
            relay.wait_for_output(_FIRST_NAMES_READY)

    def _launch(self, count: int) -> None:
        self.relays += [self.start_manage("outbox", "relay", env=self.environment) for _ in range(count)]

    def _holders(self) -> list[tuple[ManageProcess, tuple[str, ...]]]:
        """Relays that hold lanes, and which."""
        ids = dict(OutboxRelay.objects.values_list("pid", "pk"))
        lanes: dict[uuid.UUID | None, list[str]] = defaultdict(list)
        for tenant, owner in OutboxLane.objects.filter(owner__isnull=False).values_list("tenant_id", "owner"):
            lanes[owner].append(tenant)
        return [(relay, tuple(lanes[ids[relay.pid]])) for relay in self.relays if ids.get(relay.pid) in lanes]

    def stop_relays(self) -> None:
        """SIGTERM to all: each drains and ends with 0, nothing stays held, and no floor had passed an event."""
        self.wait_until_publishing()
        for relay in self.relays:
            relay.send(signal.SIGTERM)
        for relay in self.relays:
            assert relay.wait(timeout=HANG_GUARD_SECONDS) == 0, relay.output()
            assert _STRANDED not in relay.output(), relay.output()
        assert not OutboxRelay.objects.exists()
        assert not OutboxLane.objects.filter(owner__isnull=False).exists()

    @contextmanager
    def writing(self, load: Load, *, processes: int) -> Iterator[Writers]:
        """Writers at work while the block runs; they have ended after it."""
        with connection.cursor() as cursor:
            cursor.execute(TABLE)
        self.directory.mkdir(exist_ok=True)
        writers = Writers(load, processes=processes, environment=self.environment, directory=self.directory)
        self.journals += writers.journals
        try:
            writers.wait_until_writing()
            yield writers
            writers.stop() if load.transactions is None else writers.wait()
        finally:
            writers.kill()

    def seed(self, tenants: dict[str, int], *, keys: int = 50, payload_bytes: int = 330, first: int = 1) -> None:
        """So many pending events of each tenant, the sequence counted per key."""
        statement = """
            INSERT INTO outbox_events (tenant_id, topic, partition_key, dedupe_key, payload)
            SELECT %(tenant)s, %(topic)s, 'key-' || n %% %(keys)s, lpad(to_hex(n), 12, '0') || '-' || %(tenant)s,
                   jsonb_build_object('sequence', n, 'filler', repeat('x', %(size)s))
            FROM generate_series(%(first)s, %(first)s + %(count)s - 1) n
        """
        with connection.cursor() as cursor:
            for tenant, count in tenants.items():
                given: dict[str, str | int] = {
                    "tenant": tenant,
                    "topic": self.topic,
                    "keys": keys,
                    "size": payload_bytes,
                    "count": count,
                    "first": first,
                }
                cursor.execute(statement, given)
            cursor.execute("ANALYZE outbox_events")

    def wait_while_at_work(self, seconds: float) -> Span:
        """Lets the relays work for so long."""
        begin = time.time()
        time.sleep(seconds)
        return Span(begin, time.time())

    def wait_until_all_sent(self, *, timeout: float = HANG_GUARD_SECONDS) -> None:
        wait_until(all_sent, timeout=timeout)

    def judge(self) -> history.Verdict:
        verdict = history.read(
            database_url=self.environment["DATABASE_URL"],
            bootstrap_servers=self.bootstrap_servers,
            topics=[self.topic],
            journals=self.journals,
        ).judge()
        if verdict.inversions:
            self._show([overtaken for overtaken, _ in verdict.inversions[:_SHOWN]])
        return verdict

    def _show(self, overtaken: list[history.Delivery]) -> None:
        """For whoever reads why the proof failed."""
        for each in overtaken:
            _show_key(each)
        for relay in self.relays:
            logger.error(relay.output())


def _show_key(overtaken: history.Delivery) -> None:
    key = OutboxEvent.objects.of_tenant(overtaken.tenant).filter(partition_key=overtaken.key)
    for event in key.order_by("created_at", "id"):
        failed = [str(at) for at in event.failed_attempts.values_list("at", flat=True)]
        logger.error("%s of %s: sent at %s, failed at %s", event.pk, event.created_at, event.sent_at, failed)


def all_sent() -> bool:
    return not OutboxEvent.objects.exclude(status=EventStatus.SENT).exists()


def sent(tenant: str | None = None) -> int:
    events = OutboxEvent.objects.filter(status=EventStatus.SENT)
    return (events if tenant is None else events.of_tenant(tenant)).count()


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time by the database's clock, seconds since 1970."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def sent(self) -> Counter[str]:
        """Events of each tenant that were settled in it."""
        statement = (
            "SELECT tenant_id, count(*) FROM outbox_events"
            " WHERE sent_at >= to_timestamp(%s) AND sent_at < to_timestamp(%s) GROUP BY tenant_id"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, [self.begin, self.end])
            return Counter(dict(cursor.fetchall()))

    def rate(self, *tenants: str) -> float:
        """Events per second, of these tenants or of all."""
        sent = self.sent()
        return sum(sent[name] for name in tenants or sent) / self.seconds


def drained() -> Span:
    """From the first settle to the last one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM min(sent_at)), extract(epoch FROM max(sent_at)) FROM outbox_events")
        begin, end = cursor.fetchone()
    return Span(float(begin), float(end))


def forget_everything() -> None:
    """As a new database has it."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE outbox_events, outbox_lanes, outbox_relays CASCADE")
    come_to_rest()


def come_to_rest() -> None:
    """What is measured next does not wait for what the database does about what was written before."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) outbox_events, outbox_lanes")
        if FULL:
            cursor.execute("CHECKPOINT")


def until(seconds: float, do: Callable[[], None], *, every: float) -> None:
    """Does it on every tick for so long, however long it took the time before."""
    begin = time.monotonic()
    for tick in range(1, int(seconds / every) + 1):
        time.sleep(max(0.0, begin + tick * every - time.monotonic()))
        do()
