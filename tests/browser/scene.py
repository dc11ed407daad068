"""A service that has been at work for a while: webhooks sent, a noisy tenant, one locked out, dead letters."""

from __future__ import annotations

import math
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
    JobState,
    JobVerb,
    MinuteCount,
    OutboxAttempt,
    OutboxEvent,
    OutboxJob,
    OutboxLane,
    OutboxRelay,
    TenantPolicy,
)
from outbox.models.names import EVERY_TENANT
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
    _minutes(now)
    _jobs(now)
    counting.count_if_due(alias="default")


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


def _minutes(now: datetime) -> None:
    """A day as it is in an office, the last hours of the tenant that is locked out, and an outage of its own topic."""
    shares = {EVERY_TENANT: 1.0, NOISY: 0.55, LOCKED_OUT: 0.3, "octo-org": 0.06, "octocat": 0.03, "github": 0.02}
    rows = []
    for step, count in ((1, 61), (15, 97)):
        newest = now.replace(minute=now.minute // step * step, second=0, microsecond=0)
        rows += [
            _minute(tenant, share, newest - timedelta(minutes=step * number), step, number)
            for number in range(count)
            for tenant, share in shares.items()
        ]
    # A count may write the present minute meanwhile, or has done so before.
    MinuteCount.objects.all().delete()
    MinuteCount.objects.bulk_create(rows, ignore_conflicts=True)


def _minute(tenant: str, share: float, minute: datetime, step: int, number: int) -> MinuteCount:
    load = 900 + 350 * math.sin(number / 7) + 160 * math.sin(number * 2.3)
    sent = int(step * share * load)
    trouble = tenant in (EVERY_TENANT, LOCKED_OUT) and step * number < 20
    if trouble:
        sent = int(sent * (0.7 if tenant == EVERY_TENANT else 0))
    failed = 24 - number if trouble else int(tenant == EVERY_TENANT and number % 17 == 3) * 5
    spread = (0.0, 0.05, 0.2, 0.38, 0.2, 0.1, 0.05, 0.02)
    return MinuteCount(
        tenant_id=tenant,
        step=step,
        minute=minute,
        sent=sent,
        failed=failed,
        failed_attempts=4 * failed,
        waiting=int(share * (1_200 - 40 * number if trouble else 150 + 90 * math.sin(number / 3))),
        latency=[int(sent * part) for part in spread],
    )


def _jobs(now: datetime) -> None:
    common: dict[str, Any] = {"requested_by": "ann", "source": ActionSource.ADMIN, "address": ANN.address}
    asked = {"statuses": ["failed"], "error_class": "topic", "up_to_id": OutboxEvent.objects.latest("pk").pk}
    for job in (
        OutboxJob(
            verb=JobVerb.DISCARD,
            filter=asked,
            reason="test data",
            state=JobState.CANCELLED,
            done=120,
            looked_at=120,
            preview=800,
            started_at=now - timedelta(hours=3),
            moved_at=now - timedelta(hours=3),
            finished_at=now - timedelta(hours=3),
            **common,
        ),
        OutboxJob(
            verb=JobVerb.REPLAY,
            filter=asked,
            reason="the topic exists now",
            state=JobState.DONE,
            done=3_412,
            skipped={"sent": 18},
            looked_at=3_430,
            preview=3_430,
            started_at=now - timedelta(hours=2),
            worked_seconds=120,
            moved_at=now - timedelta(minutes=118),
            finished_at=now - timedelta(minutes=118),
            **common,
        ),
        OutboxJob(
            verb=JobVerb.REPLAY,
            filter=asked,
            reason="access to the topic was granted",
            state=JobState.RUNNING,
            done=26_180,
            skipped={"sent": 12},
            looked_at=26_192,
            preview=41_000,
            started_at=now - timedelta(seconds=131),
            worked_seconds=131,
            moved_at=now,
            lease_until=now + timedelta(minutes=10),
            token=1,
            **common,
        ),
    ):
        job.save()
