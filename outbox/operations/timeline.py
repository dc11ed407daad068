"""What has happened to one event, as far as it is known."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import BooleanField, F, Func, JSONField, Q, Value

from outbox.models import EventStatus, OperatorAction, OutboxEvent
from outbox.operations.show import FailedAttempt

MOST_ACTIONS = 500
"""Of the tenant's last actions so many are looked through for those about the event."""
_STATES = {
    "enqueued": "pending",
    "due": "scheduled",
    "attempt failed": "failed",
    "dead letter": "failed",
    "sent": "sent",
    "discarded": "discarded",
}
_VERBS = {"replay": "replayed", "discard": "discarded", "requeue": "requeued", "reveal": "revealed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened, or is going to."""

    at: datetime | None
    """None: not known."""
    what: str
    about: str = ""
    who: str = ""

    @property
    def state(self) -> str:
        """What it looks like: the state of an event."""
        return _STATES.get(self.what, "")


class _Names(Func):
    """Whether an action changed an event, whatever its status was."""

    function = "jsonb_path_exists"
    output_field = BooleanField()


def timeline(
    event: OutboxEvent,
    *,
    failed_attempts: Collection[FailedAttempt],
    by_operators: Collection[Moment],
    replays: str | None = None,
) -> tuple[Moment, ...]:
    """In the order of time. `replays`: how often operators replayed it, as its header says."""
    moments = [Moment(at=event.created_at, what="enqueued"), *_due(event), *_ends(event, by_operators, replays)]
    for number, each in enumerate(failed_attempts):
        is_last = number == 0 and event.status == EventStatus.FAILED
        what = "dead letter" if is_last else "attempt failed"
        about = f"{each.error_class} {each.code}: {each.message}"
        moments.append(Moment(at=each.at, what=what, about=about, who=f"relay {each.relay_id}"))
    moments += by_operators
    return tuple(sorted(moments, key=lambda each: each.at or event.created_at))


def by_operators(
    *, event_id: int, tenant_id: str, since: datetime, tenants: Collection[str] | None, using: str
) -> tuple[Moment, ...]:
    """What operators did to the event, among the last that they did to its tenant.

    `tenants`: actions about others as well do not exist for whoever asks; None: all do.
    """
    latest = OperatorAction.objects.using(using).of_tenant(tenant_id).within(tenants)
    latest = latest.filter(verb__in=_VERBS, at__gte=since)
    number = Value({"id": event_id}, JSONField())
    path = Value("$.*[*] ? (@ == $id)")
    actions = (
        OperatorAction.objects.using(using)
        .filter(pk__in=latest.order_by("-id").values("pk")[:MOST_ACTIONS])
        .alias(changed=_Names(F("before"), Func(path, template="%(expressions)s::jsonpath"), number))
        .filter(Q(changed=True) | Q(verb="reveal", filter__ids=[event_id]))
        .order_by("-id")
        .values_list("at", "verb", "actor", "reason")
    )
    return tuple(Moment(at=at, what=_VERBS[verb], about=reason, who=actor) for at, verb, actor, reason in actions)


def _due(event: OutboxEvent) -> Iterator[Moment]:
    if event.status == EventStatus.SCHEDULED:
        yield Moment(at=event.available_at, what="due", about="Published then, and not before.")


def _ends(event: OutboxEvent, by_operators: Collection[Moment], replays: str | None) -> Iterator[Moment]:
    if event.sent_at is not None:
        yield Moment(at=event.sent_at, what="sent", about=_receipt(event))
    known: dict[str, Any] = {each.what: each for each in by_operators}
    if event.discarded_at is not None and "discarded" not in known:
        yield Moment(at=event.discarded_at, what="discarded")
    if replays and "replayed" not in known:
        yield Moment(at=None, what="replayed", about=f"{replays} times so far; when and by whom is not known here.")


def _receipt(event: OutboxEvent) -> str:
    if event.kafka_offset is None:
        return ""
    return f"Partition {event.kafka_partition}, offset {event.kafka_offset:,}."
