"""What waits behind an open circuit is left alone, costs nobody anything, and has no more than its share later."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from circuits.models import TenantCircuit
from outbox.models import EventStatus, OutboxEvent, OutboxLane
from tests.proofs.sizes import FULL, SLOW, size
from tests.proofs.stage import Span, Stage, sent
from tests.proofs.verdicts import judge, least, most, none
from tests.support.waiting import wait_until

BLOCKED = "blocked-"
SLEEPER = "sleeper"


@pytest.mark.timeout(1_200)
def test_f9_what_waits_behind_open_circuits_costs_the_others_nothing(stage: Stage) -> None:
    """A thousand tenants with an open circuit and a hundred events each beside a drain by two relays."""
    others = [f"tenant-{number:02}" for number in range(50)]
    seconds, blocked = size(1, 5), size(200, 1_000)
    stage.seed(dict.fromkeys(others, size(1_500, 80_000)))
    stage.start_relays(2)
    wait_until(lambda: sent() > 0)
    without, beside = list[Span](), list[Span]()
    touched = claimed = 0
    for _ in range(size(1, 3)):
        without.append(stage.wait_while_at_work(seconds))
        _block(stage.topic, tenants=blocked, events=size(20, 100))
        time.sleep(size(0, 1))
        beside.append(stage.wait_while_at_work(seconds))
        touched += _touched()
        claimed += OutboxLane.objects.filter(tenant_id__startswith=BLOCKED, token__gt=0).count()
        assert not FULL or _is_waiting(others[0]), "they may not have run dry"
        OutboxEvent.objects.filter(tenant_id__startswith=BLOCKED).delete()
        TenantCircuit.objects.all().delete()
    stage.wait_until_all_sent(timeout=600)
    stage.stop_relays()
    kept = sum(each.rate(*others) for each in beside) / max(1e-9, sum(each.rate(*others) for each in without))
    judge(
        least("F9", f"others' rate beside {blocked:,} tenants behind open circuits", kept, 0.98),
        none("F9", "blocked events that were touched", touched),
        none("F9", "lanes behind open circuits that were claimed", claimed),
    )


def _block(topic: str, *, tenants: int, events: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO circuits_tenant_circuits (tenant_id, name, state, epoch, open_until)"
            " SELECT %s || n, 'publish', 'open', 1, '2100-01-01' FROM generate_series(1, %s) n",
            [BLOCKED, tenants],
        )
        cursor.execute(
            "INSERT INTO outbox_events (tenant_id, topic, dedupe_key, payload)"
            " SELECT %s || n, %s, 'b' || e, '{\"sequence\": 1}'"
            " FROM generate_series(1, %s) n, generate_series(1, %s) e",
            [BLOCKED, topic, tenants, events],
        )


def _touched() -> int:
    untouched = Q(status=EventStatus.PENDING, attempts=0, kafka_offset=None, sent_at=None)
    return OutboxEvent.objects.filter(~untouched, tenant_id__startswith=BLOCKED).count()


@pytest.mark.timeout(900)
def test_f13_what_waited_behind_an_open_circuit_is_no_burst(stage: Stage) -> None:
    """A tenant that was served once collects a backlog behind its open circuit, which then closes by its own probe."""
    others = [f"tenant-{number}" for number in range(9)]
    stage.seed({SLEEPER: 100} | dict.fromkeys(others, size(25_000, 350_000)))
    stage.start_relays(2, **SLOW)
    wait_until(lambda: sent(SLEEPER) == 100)
    opens = timezone.now() + timedelta(seconds=size(2, 25))
    TenantCircuit.objects.create(tenant_id=SLEEPER, name="publish", state="open", epoch=1, open_until=opens)
    stage.seed({SLEEPER: size(20_000, 100_000)}, first=101)
    wait_until(lambda: TenantCircuit.objects.get().state == "closed", timeout=120)
    shares = stage.wait_while_at_work(size(1, 5)).sent()
    before = OutboxEvent.objects.of_tenant(SLEEPER).filter(sent_at__lt=opens).count()
    dry = [name for name in (SLEEPER, *others) if not _is_waiting(name)]
    stage.stop_relays()
    assert (before, dry) == (100, []), "it waited for its probe, and none has run dry"
    share = shares[SLEEPER] / shares.total()
    judge(
        most("F13", "share of what waited behind a circuit, once it has closed", share, 0.1 + 0.03, small=0.3),
        least("F13", "and at least", share, 0.1 - 0.03),
    )


def _is_waiting(tenant: str) -> bool:
    return OutboxEvent.objects.of_tenant(tenant).filter(status=EventStatus.PENDING).exists()
