"""How long events wait: beside an elephant's backlog, and behind a transaction that stays open."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import F, Max

from bench.broker import Watermarks, create_topic
from bench.measure import percentile
from outbox.api import NewEvent, enqueue, enqueue_many
from outbox.models import EventStatus, OutboxEvent
from tests.proofs.sizes import size
from tests.proofs.stage import Stage, come_to_rest, sent
from tests.proofs.verdicts import judge, least, most
from tests.support.waiting import wait_until

QUIET = [f"quiet-{number:02}" for number in range(99)]
PER_TRANSACTION = 33
_elephants = itertools.count(1)


class Quiet:
    """Ninety-nine tenants on a topic of their own, an event each in every third transaction."""

    def __init__(self, stage: Stage, *, rate: float) -> None:
        self._topic = f"{stage.topic}-quiet"
        self._rate = rate
        self._first = 0
        create_topic(stage.bootstrap_servers, self._topic)

    def p99_ms(self, *, seconds: float) -> float:
        """From the commit of an event to its settle, which is later than the broker has it."""
        begin = time.monotonic()
        every = PER_TRANSACTION / self._rate
        self._first = first = OutboxEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
        committed: list[float] = []
        for turn in range(round(seconds / every)):
            time.sleep(max(0.0, begin + turn * every - time.monotonic()))
            tenants = [QUIET[(turn * PER_TRANSACTION + number) % len(QUIET)] for number in range(PER_TRANSACTION)]
            with transaction.atomic():
                enqueue_many(NewEvent(topic=self._topic, payload={"turn": turn}, tenant_id=name) for name in tenants)
            committed.append(time.time())
        mine = OutboxEvent.objects.filter(topic=self._topic, id__gt=first)
        wait_until(lambda: not mine.exclude(status=EventStatus.SENT).exists())
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT extract(epoch FROM sent_at)::float8, (payload->>'turn')::int FROM outbox_events"
                " WHERE topic = %s AND id > %s",
                [self._topic, first],
            )
            return percentile([(at - committed[turn]) * 1_000 for at, turn in cursor.fetchall()], 0.99)

    def overtook(self) -> float:
        """Which part of the events of the last run was sent before another tenant's that is older."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT avg((sent_at < older_sent_at)::int)::float8 FROM ("
                "  SELECT id, topic, sent_at, max(coalesce(sent_at, 'infinity')) FILTER (WHERE topic <> %(quiet)s)"
                "    OVER (ORDER BY created_at) AS older_sent_at FROM outbox_events"
                ") e WHERE topic = %(quiet)s AND id > %(first)s",
                {"quiet": self._topic, "first": self._first},
            )
            (share,) = cursor.fetchone()
        return float(share)


@contextmanager
def elephant(stage: Stage, *, pending: int) -> Iterator[None]:
    """Keeps about so many of its events pending while the block runs: what is published is added again."""
    name = f"elephant-{next(_elephants)}"
    with Watermarks(stage.bootstrap_servers, stage.topic) as topic:
        base = topic.messages()
    stage.seed({name: pending})
    come_to_rest()
    ended = threading.Event()

    def feed() -> None:
        seeded = pending
        with (
            Watermarks(stage.bootstrap_servers, stage.topic) as topic,
            psycopg.connect(stage.environment["DATABASE_URL"], autocommit=True) as session,
        ):
            while not ended.wait(0.05):
                missing = pending - (seeded - (topic.messages() - base))
                if missing > 0:
                    session.execute(
                        "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload)"
                        " SELECT %s, %s, 'more-' || n, jsonb_build_object('sequence', n, 'filler', repeat('x', 330))"
                        " FROM generate_series(%s::bigint, %s::bigint) n",
                        [name, stage.topic, seeded, seeded + missing - 1],
                    )
                    seeded += missing

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        stage.wait_until_all_sent()


@pytest.mark.timeout(1_200)
def test_f1_quiet_tenants_beside_an_elephant(stage: Stage) -> None:
    """Ninety-nine tenants that together have a tenth of what the relays can do."""
    seconds = size(3, 20)
    create_topic(stage.bootstrap_servers, stage.topic)
    stage.start_relays(2)
    stage.seed({"warm-up": size(30_000, 400_000)})
    wait_until(lambda: sent() > 0)
    rate = stage.wait_while_at_work(size(1, 5)).rate()
    stage.wait_until_all_sent()
    quiet = Quiet(stage, rate=size(300, round(rate / 10)))
    alone: list[float] = []
    small: list[float] = []
    large: list[float] = []
    overtook: list[float] = []
    for _ in range(size(1, 5)):
        alone.append(quiet.p99_ms(seconds=seconds))
        for pending, found in ((10_000, small), (size(20_000, 1_000_000), large)):
            with elephant(stage, pending=pending):
                found.append(quiet.p99_ms(seconds=seconds))
                overtook.append(quiet.overtook())
    stage.stop_relays()
    judge(
        most("F1", "quiet tenants' p99, ms: beside an elephant less alone", median(large) - median(alone), 50),
        most("F1", "quiet tenants' p99: beside 1,000,000 to beside 10,000", median(large) / median(small), 1.2),
        least("F1", "events of theirs sent before older ones of the elephant", median(overtook), 0.9, small=0.5),
    )


@pytest.mark.timeout(300)
def test_f15_an_open_transaction_holds_up_nobody_and_loses_nothing(stage: Stage) -> None:
    """Two transactions of one tenant: one stays open with an event in it while others commit."""
    create_topic(stage.bootstrap_servers, stage.topic)
    stage.start_relays(2)
    with psycopg.connect(stage.environment["DATABASE_URL"]) as late:
        late.execute(
            "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload)"
            " VALUES ('acme', %s, 'late', '{\"sequence\": 1}')",
            [stage.topic],
        )
        commits = _commits(stage, seconds=size(2, 5))
        # Before the late one commits: it is not waited for.
        others = OutboxEvent.objects.of_tenant("acme")
        wait_until(lambda: not others.exclude(status=EventStatus.SENT).exists())
        late.commit()
    committed = time.time()
    stage.wait_until_all_sent()
    stage.stop_relays()
    assert not stage.judge().faults
    longest = others.exclude(dedupe_key="late").aggregate(wait=Max(F("sent_at") - F("created_at")))["wait"]
    late_at = others.get(dedupe_key="late").sent_at
    assert late_at is not None
    judge(
        most("F15", "a transaction beside one that stays open, p99, ms", percentile(commits, 0.99), 10),
        most("F15", "its event, until it is sent, s", longest.total_seconds(), 5),
        most("F15", "the late event, from its commit until it is sent, s", late_at.timestamp() - committed, 5),
        least("F15", "transactions that committed meanwhile", len(commits), 2, small=2),
    )


def _commits(stage: Stage, *, seconds: float) -> list[float]:
    """How long each of many transactions with an event takes, in ms."""
    took: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        with transaction.atomic():
            enqueue(topic=stage.topic, payload={"sequence": len(took)}, tenant_id="acme")
        took.append((time.monotonic() - began) * 1_000)
        time.sleep(0.01)
    return took
