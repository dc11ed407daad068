"""Assertions on what stands in the outbox, seen through the test's own connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from outbox import conf
from outbox.models import OutboxEvent
from outbox.models.names import DEFAULT_TENANT
from outbox.testing.matching import ANY, EnqueuedEvent, Expected, shortened

_NEAREST = 5


def assert_enqueued(
    *,
    topic: Any = ANY,
    tenant_id: Any = ANY,
    payload: Any = ANY,
    partition_key: Any = ANY,
    dedupe_key: Any = ANY,
    headers: Any = ANY,
    count: int | None = None,
    using: str | None = None,
) -> list[EnqueuedEvent]:
    """Assert that events like this have been enqueued, and return them, the oldest first.

    What is not given may be anything. `payload` and `headers` match by **subset**: an object has the given keys and may
    have others, at any depth; lists have the same length, and everything else is equal. So `{}` is any object. To ask
    for a payload as a whole, compare that of the event returned. `tenant_id=None` is the tenant "default".
    `count`: exactly so many; 0 for none at all. Without it, one or more.
    `using`: alias of the database; none is `OUTBOX_DATABASE`.

    Counts what the test's transaction sees, published or not: not what was rolled back, nor what another transaction
    has not committed. Raises `AssertionError` with the events that come nearest, and in what they differ.
    """
    __tracebackhide__ = True
    expected = _expected(topic, tenant_id, payload, partition_key, dedupe_key, headers)
    return _check(enqueued_events(using=using), expected, count)


def enqueued_events(*, after: int = 0, using: str | None = None) -> list[EnqueuedEvent]:
    """Every event in the outbox with a number above `after`, the oldest first."""
    rows = OutboxEvent.objects.using(using or conf.get().database).filter(pk__gt=after).order_by("pk")
    return [
        EnqueuedEvent(
            event_id=row.pk,
            topic=row.topic,
            tenant_id=row.tenant_id,
            partition_key=row.partition_key,
            dedupe_key=row.dedupe_key,
            payload=row.payload,
            headers=row.headers,
            status=row.status,
            available_at=row.available_at,
        )
        for row in rows
    ]


class Recorder:
    """The fixture `outbox`: what has been enqueued, or what has since the last `clear`."""

    def __init__(self, *, using: str | None = None) -> None:
        self._using = using
        self._after = 0

    @property
    def events(self) -> list[EnqueuedEvent]:
        """What has been enqueued, the oldest first."""
        return enqueued_events(after=self._after, using=self._using)

    def clear(self) -> None:
        """Forget what has been enqueued so far. The rows stay, and so do their dedupe keys."""
        self._after = max((event.event_id for event in self.events), default=self._after)

    def assert_enqueued(
        self,
        *,
        topic: Any = ANY,
        tenant_id: Any = ANY,
        payload: Any = ANY,
        partition_key: Any = ANY,
        dedupe_key: Any = ANY,
        headers: Any = ANY,
        count: int | None = None,
    ) -> list[EnqueuedEvent]:
        """`outbox.testing.assert_enqueued`, for what has been enqueued since the last `clear`."""
        __tracebackhide__ = True
        expected = _expected(topic, tenant_id, payload, partition_key, dedupe_key, headers)
        return _check(self.events, expected, count)


class OutboxAssertions:
    """For Django's `TestCase` and `TransactionTestCase`: `class OrderTest(OutboxAssertions, TestCase)`."""

    assert_enqueued = staticmethod(assert_enqueued)


def _expected(topic: Any, tenant_id: Any, payload: Any, partition_key: Any, dedupe_key: Any, headers: Any) -> Expected:
    return Expected(
        topic=topic,
        tenant_id=DEFAULT_TENANT if tenant_id is None else tenant_id,
        payload=payload,
        partition_key=partition_key,
        dedupe_key=dedupe_key,
        headers=headers,
    )


def _check(events: Sequence[EnqueuedEvent], expected: Expected, count: int | None) -> list[EnqueuedEvent]:
    __tracebackhide__ = True
    matching = [event for event in events if not expected.differences(event)]
    if len(matching) == count or (count is None and matching):
        return matching
    raise AssertionError("\n".join(_explanation(events, matching, expected, count)))


def _explanation(
    events: Sequence[EnqueuedEvent], matching: Sequence[EnqueuedEvent], expected: Expected, count: int | None
) -> list[str]:
    wanted = "1 or more" if count is None else str(count)
    lines = [f"{wanted} wanted, {len(matching)} enqueued with {expected}"]
    if not events:
        return [*lines, "Nothing at all is in the outbox."]
    others = [event for event in events if event not in matching]
    if matching:
        lines += ["These are like that:", *map(_line, matching[:_NEAREST]), *_more(matching)]
    if others and len(matching) < (count or 1):
        nearest = sorted(others, key=lambda event: (expected.distance(event), -event.event_id))
        lines.append("Nearest to it:")
        for event in nearest[:_NEAREST]:
            lines += [_line(event), *(f"    {each}" for each in expected.differences(event))]
        lines += _more(nearest)
    return lines


def _line(event: EnqueuedEvent) -> str:
    parts = [f"topic={event.topic!r}", f"tenant_id={event.tenant_id!r}"]
    if event.partition_key:
        parts.append(f"partition_key={event.partition_key!r}")
    parts.append(f"payload={shortened(event.payload)}")
    return f"  #{event.event_id} {' '.join(parts)}"


def _more(events: Sequence[EnqueuedEvent]) -> list[str]:
    return [f"  and {len(events) - _NEAREST} more"] if len(events) > _NEAREST else []
