"""A service that has been at work for a while: webhooks sent, a noisy tenant, one locked out, dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone

from circuits.models import CircuitTransition, StaffTenantScope, TenantCircuit
from outbox import counting
from outbox.models import (
    ActionSource,
    EventStatus,
    OutboxAttempt,
    OutboxEvent,
    OutboxJob,
    OutboxLane,
    OutboxRelay,
    TenantPolicy,
)
from outbox.operations import pause
from outbox.operations.audit import Operator
from somabrain.demo import webhooks
from somabrain.models import QueuedWrite, WebhookDelivery

NOISY = "codertocat"
LOCKED_OUT = "octocoders"
PAUSED = "octo-org"
ANN = Operator(name="ann", source=ActionSource.ADMIN, address="192.0.2.17")

_RELAYS = [UUID(int=number) for number in (1, 2, 3)]
_UNKNOWN_TOPIC = ("topic", 3, "UNKNOWN_TOPIC_OR_PART: Broker: Unknown topic or partition")
_FORBIDDEN = ("topic", 29, "TOPIC_AUTHORIZATION_FAILED: Broker: Topic authorization failed")
_TOO_LARGE = ("poison", 10, "MSG_SIZE_TOO_LARGE: Broker: Message size too large")
_TIMED_OUT = ("ambiguous", -192, "_MSG_TIMED_OUT: Local: Message timed out")
_ERRORS = (_UNKNOWN_TOPIC, _FORBIDDEN, _UNKNOWN_TOPIC, _TOO_LARGE, _FORBIDDEN, _TIMED_OUT)


def build(*, events: int) -> None:
    """Fill the database; with 60 events there is one of each kind."""
    now = timezone.now()
    OutboxEvent.objects.bulk_create(_events(now, events), batch_size=500)
    _attempts()
    _deliveries()
    _circuits(now)
    _fleet(now)
    _policies(now)
    _job(now)
    counting.count_if_due(alias="default")


def _job(now: datetime) -> None:
    """A replay that is half done."""
    OutboxJob.objects.create(
        verb="replay",
        filter={"tenant": LOCKED_OUT, "status": ["failed"], "error_class": "topic", "up_to_id": 1_000_000},
        tenants=[LOCKED_OUT],
        reason="the topic is there now",
        requested_by=ANN.name,
        source=ANN.source,
        address=ANN.address,
        preview=8_000,
        state="running",
        done=4_100,
        skipped={"changing": 3},
        looked_at=4_200,
        started_at=now - timedelta(minutes=2),
        moved_at=now - timedelta(seconds=1),
        lease_until=now + timedelta(hours=1),
    )


def people() -> dict[str, User]:
    """Who signs in: `ann` may do everything, `bob` sees two tenants alone."""
    ann = User.objects.create_superuser("ann", first_name="Ann")
    bob = User.objects.create_user("bob", is_staff=True)
    for tenant in (LOCKED_OUT, "octocat"):
        StaffTenantScope.objects.create(user=bob, tenant_id=tenant)
    return {"ann": ann, "bob": bob}


def _events(now: datetime, count: int) -> Iterator[OutboxEvent]:
    """The oldest first: what is sent, and then what waits and has failed."""
    recorded = webhooks.recorded()
    for number in reversed(range(count)):
        webhook = recorded[number % len(recorded)]
        created = now - timedelta(seconds=2 + 1.7 * number)
        event = OutboxEvent(
            tenant_id=webhook.tenant_id,
            topic=webhook.topic,
            partition_key=webhook.partition_key,
            dedupe_key=f"{webhook.dedupe_key}-{number:06}",
            payload=webhook.payload,
            headers={"source": "github", "traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01"},
            created_at=created,
        )
        for name, value in _what_became_of(event, number, created).items():
            setattr(event, name, value)
        yield event


def _what_became_of(event: OutboxEvent, number: int, created: datetime) -> dict[str, Any]:
    if event.tenant_id == LOCKED_OUT and number < 300:
        if number % 3 == 0:
            error, _, message = _ERRORS[number // 3 % len(_ERRORS)]
            return {"status": EventStatus.FAILED, "attempts": 4, "error_class": error, "last_error": message}
        return {"status": EventStatus.PENDING}
    if event.tenant_id == NOISY and number < 200:
        return {"status": EventStatus.PENDING}
    if number % 41 == 0:
        return {"status": EventStatus.SCHEDULED, "available_at": created + timedelta(hours=2)}
    if number % 47 == 0:
        return {"status": EventStatus.DISCARDED, "discarded_at": created + timedelta(minutes=1)}
    return {
        "status": EventStatus.SENT,
        "sent_at": created + timedelta(milliseconds=7 + number % 13),
        "kafka_partition": number % 4,
        "kafka_offset": 41_000 + number,
    }


def _attempts() -> None:
    codes = {message: code for _, code, message in _ERRORS}
    OutboxAttempt.objects.bulk_create(
        OutboxAttempt(
            event=event,
            at=event.created_at + timedelta(seconds=2**number),
            relay_id=_RELAYS[number % 2],
            error_class=event.error_class,
            code=codes[event.last_error],
            message=event.last_error,
        )
        for event in OutboxEvent.objects.failed().defer("payload", "headers")
        for number in range(event.attempts)
    )


def _deliveries() -> None:
    newest = OutboxEvent.objects.order_by("-id").defer("payload", "headers")[:40]
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(tenant_id=event.tenant_id, kind=event.topic, delivery_key=event.dedupe_key) for event in newest
    )
    QueuedWrite.objects.bulk_create(
        QueuedWrite(
            event_id=event.pk, tenant_id=event.tenant_id, namespace="notes", key=f"note-{event.pk}", version=event.pk
        )
        for event in newest[:5]
    )


def _circuits(now: datetime) -> None:
    open_one = {"state": "open", "epoch": 7, "trips": 3, "failures": 5, "failure_threshold": 5, "reset_interval": 20}
    opened = now - timedelta(seconds=12)
    TenantCircuit.objects.create(
        tenant_id=LOCKED_OUT,
        name="publish",
        **open_one,
        opened_at=opened,
        last_failure_at=opened,
        open_until=now + timedelta(minutes=4),
    )
    TenantCircuit.objects.create(
        tenant_id="octocat",
        name="memory",
        override="forced_open",
        override_by="ann",
        override_reason="the memory is moved to another host",
        override_until=now + timedelta(hours=2),
    )
    TenantCircuit.objects.create(tenant_id=NOISY, name="publish", failure_threshold=10, half_open_probes=3)
    history = (("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("open", "half_open"))
    for number, (before, after) in enumerate((*history, ("half_open", "open"))):
        CircuitTransition.objects.create(
            tenant_id=LOCKED_OUT,
            name="publish",
            at=opened - timedelta(seconds=90 - 20 * number),
            from_state=before,
            to_state=after,
            why="failures" if before == "closed" else "probe_failed" if after == "open" else "interval_over",
            failures=5 if after == "open" else 0,
            error_code="TOPIC_AUTHORIZATION_FAILED" if after == "open" else "",
            epoch=number + 3,
        )


def _fleet(now: datetime) -> None:
    for number, relay in enumerate(_RELAYS, 1):
        OutboxRelay.objects.create(
            id=relay,
            host=f"worker-{number}.example.net",
            pid=4_100 + number,
            version="0.1.0",
            started_at=now - timedelta(hours=5 * number),
            heartbeat_at=now,
            lanes=5 - number,
            rate=1_480.5 / number,
        )
    for number, tenant in enumerate(sorted({webhook.tenant_id for webhook in webhooks.recorded()})):
        held = {"owner": _RELAYS[number % 3], "leased_until": now + timedelta(seconds=5)} if number % 2 else {}
        OutboxLane.objects.create(tenant_id=tenant, virtual_time=1_000 + number, token=number, **held)


def _policies(now: datetime) -> None:
    TenantPolicy.objects.create(tenant_id=NOISY, weight=0.5, rate=200, backlog_limit=100_000)
    TenantPolicy.objects.create(tenant_id="github", weight=2, batch_quota=500, retention_days=30)
    pause.pause(tenant_id=PAUSED, reason="the broker is moved", by=ANN, until=now + timedelta(hours=1))
    pause.pause(tenant_id="electron", reason="their consumer is down", by=ANN)
    pause.resume(tenant_id="electron", reason="it is up again", by=ANN)
