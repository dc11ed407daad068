"""Rows of every kind that the admin shows: of a tenant, of another one, and of none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.tasks import async_task

from circuits.models import CircuitTransition, StaffTenantScope, TenantCircuit
from outbox.models import (
    BacklogCount,
    EventStatus,
    MinuteCount,
    OperatorAction,
    OutboxAttempt,
    OutboxEvent,
    OutboxJob,
    OutboxLane,
    OutboxRelay,
    Overview,
    TenantBacklog,
    TenantPolicy,
)
from somabrain.models import QueuedWrite, WebhookDelivery

OWN, FRESH = "acme", "acme-new"
FOREIGN = "globex-secret-7"
ABSENT = "absent-secret-7"
"""A tenant without any row. As long as the foreign one's name, so that answers can be compared."""
_NO_NUMBER = 999_999_937


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What may be named in an address or a form."""

    tenant: str
    fresh: str
    """A tenant of the same owner, without any row."""
    keys: Mapping[str, Any]
    """Primary keys, by the model's label or by what is special about the row."""

    def named_otherwise(self) -> Rows:
        """The same of rows that do not exist."""
        keys = {label: _absent(key) for label, key in self.keys.items()}
        return Rows(tenant=ABSENT, fresh=f"{ABSENT}-new", keys=keys)


def rows_of(tenant: str, *, fresh: str) -> Rows:
    """Makes a row of each kind. Every text in them says the tenant's name, so that none can get out unseen."""
    made = {**_events(tenant), **_decided(tenant), **_circuits(tenant), **_of_nobody(tenant), **_service(tenant)}
    return Rows(tenant=tenant, fresh=fresh, keys={label: row.pk for label, row in made.items()})


def of_everyone() -> None:
    """What concerns all tenants together, and the foreign one among them."""
    say = f"because of {FOREIGN}"
    TenantPolicy.objects.create(tenant_id="*", paused=True, paused_by="ann", paused_reason=say)
    TenantCircuit.objects.create(
        tenant_id="*", name="memory", override="forced_open", override_by="ann", override_reason=say
    )
    CircuitTransition.objects.create(
        tenant_id="*", name="memory", from_state="closed", to_state="forced_open", why="override", reason=say, epoch=1
    )
    OutboxJob.objects.create(verb="replay", reason=say, requested_by="ann", source="admin", tenants=None)
    for tenants in (["*"], [OWN, FOREIGN]):
        OperatorAction.objects.create(
            actor="ann", source="admin", verb="pause", tenants=tenants, filter={"tenant": tenants[-1]}, reason=say
        )


def _events(tenant: str) -> dict[str, Model]:
    failed = _event(tenant, status=EventStatus.FAILED, error_class="topic", last_error=f"{tenant}: unknown topic")
    later = timezone.now() + timedelta(hours=1)
    retry = _event(tenant, status=EventStatus.SCHEDULED, attempts=1, available_at=later, error_class="broker")
    attempt = OutboxAttempt.objects.create(
        event=failed, relay_id=uuid4(), error_class="topic", code=3, message=f"{tenant}: unknown"
    )
    now = timezone.now()
    minute = now.replace(second=0, microsecond=0) - timedelta(minutes=2)
    MinuteCount.objects.create(tenant_id=tenant, minute=minute, sent=3, failed=1)
    return {
        "outbox.outboxevent": failed,
        "retry": retry,
        "outbox.outboxattempt": attempt,
        "outbox.outboxlane": OutboxLane.objects.create(tenant_id=tenant),
        "outbox.tenantbacklog": TenantBacklog.objects.create(tenant_id=tenant, failed=1, taken_at=now),
    }


def _event(tenant: str, **fields: Any) -> OutboxEvent:
    return OutboxEvent.objects.create(
        tenant_id=tenant,
        topic=f"{tenant}-orders",
        partition_key=f"{tenant}-key",
        dedupe_key=f"{tenant}-{uuid4().hex}",
        payload={"of": tenant},
        headers={"of": tenant},
        **fields,
    )


def _decided(tenant: str) -> dict[str, Model]:
    say = f"{tenant} asked for it"
    asked: dict[str, Any] = {
        "verb": "replay", "reason": say, "requested_by": "ann", "source": "admin", "tenants": [tenant],
        "filter": {"tenant": tenant},
    }  # fmt: skip
    policy = TenantPolicy.objects.create(tenant_id=tenant, paused=True, paused_by="ann", paused_reason=say)
    action = OperatorAction.objects.create(
        actor="ann", source="admin", verb="pause", tenants=[tenant], filter={"tenant": tenant}, reason=say
    )
    return {
        "outbox.outboxjob": OutboxJob.objects.create(**asked),
        "paused job": OutboxJob.objects.create(**asked, state="paused"),
        "outbox.tenantpolicy": policy,
        "outbox.operatoraction": action,
    }


def _circuits(tenant: str) -> dict[str, Model]:
    say = f"{tenant} asked for it"
    circuit = TenantCircuit.objects.create(
        tenant_id=tenant, name="publish", override="forced_open", override_by="ann", override_reason=say
    )
    move = CircuitTransition.objects.create(
        tenant_id=tenant, name="publish", from_state="closed", to_state="forced_open", why="override", reason=say,
        epoch=1,
    )  # fmt: skip
    user = User.objects.create_user(f"of-{tenant}", is_staff=True)
    limit = StaffTenantScope.objects.create(user=user, tenant_id=tenant)
    return {
        "circuits.tenantcircuit": circuit,
        "circuits.circuittransition": move,
        "circuits.stafftenantscope": limit,
        "auth.user": user,
        "auth.group": Group.objects.create(name=f"team {tenant}"),
    }


def _of_nobody(tenant: str) -> dict[str, Model]:
    now = timezone.now()
    count, _ = BacklogCount.objects.update_or_create(pk=1, defaults={"taken_at": now, "next_at": now})
    task: dict[str, Any] = {"name": tenant, "func": tenant, "started": now, "stopped": now, "result": tenant}
    async_task("math.copysign", 1, 2, task_name=tenant)
    waiting = OrmQ.objects.latest("pk")
    return {
        "outbox.backlogcount": count,
        "outbox.overview": Overview.objects.get(),
        "outbox.outboxrelay": OutboxRelay.objects.create(host=f"host-of-{tenant}", pid=1, version="0.1.0"),
        "django_q.schedule": Schedule.objects.create(name=tenant, func=tenant),
        "django_q.success": Success.objects.create(id=uuid4().hex, success=True, **task),
        "django_q.failure": Failure.objects.create(id=uuid4().hex, success=False, **task),
        "django_q.ormq": waiting,
    }


def _service(tenant: str) -> dict[str, Model]:
    delivery = WebhookDelivery.objects.create(tenant_id=tenant, kind=f"{tenant}.paid", delivery_key=f"{tenant}-1")
    write = QueuedWrite.objects.create(
        event_id=QueuedWrite.objects.count() + 1, tenant_id=tenant, namespace=tenant, key=tenant, version=1,
        reason=f"{tenant}: refused", rejected_at=timezone.now(),
    )  # fmt: skip
    return {"somabrain.webhookdelivery": delivery, "somabrain.queuedwrite": write}


def _absent(key: Any) -> Any:
    if isinstance(key, int):
        return _NO_NUMBER
    return ABSENT if key in (OWN, FOREIGN) else uuid4()
