"""The application's door to the outbox.

    with transaction.atomic():
        order.save()
        enqueue(topic="orders", payload={"id": order.pk}, tenant_id="acme", partition_key=str(order.pk))

An event is committed together with the change it tells of, or not at all. Once it is committed, relays publish it at
least once. Events of a tenant with the same `partition_key` are first published in the order of the transactions that
wrote them, where the application lets one of these wait for the other, as by a row lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from outbox import conf
from outbox.enqueueing import admission, bulk, waking
from outbox.enqueueing.chunks import chunks
from outbox.enqueueing.events import EnqueueManyResult, EnqueueResult, NewEvent
from outbox.enqueueing.insert import OnDuplicate, insert
from outbox.enqueueing.tracing import current_traceparent
from outbox.enqueueing.validation import validate
from outbox.errors import NotInTransaction
from outbox.pending import PendingEvent, get_pending_events, get_pending_events_by_tenant_batch

__all__ = [
    "EnqueueManyResult",
    "EnqueueResult",
    "NewEvent",
    "PendingEvent",
    "enqueue",
    "enqueue_many",
    "get_pending_events",
    "get_pending_events_by_tenant_batch",
]


def enqueue(
    *,
    topic: str,
    payload: Any,
    tenant_id: str | None = None,
    partition_key: str = "",
    dedupe_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    available_at: datetime | None = None,
    traceparent: str | None = None,
    on_duplicate: OnDuplicate = "return",
    using: str | None = None,
    autocommit: bool = False,
) -> EnqueueResult:
    """Write one event in the open transaction.

    `payload`: what JSON can say: str, int, float, bool, None, and dicts, lists and tuples of them, 100 deep at most.
    `tenant_id`: whose event it is; none is the tenant "default".
    `partition_key`: events of a tenant with the same key are published in order; empty is in no order.
    `dedupe_key`: names the event within its tenant, at most 255 characters; none makes it a new one in any case.
    `headers`: message headers, str to str, beside those that relays write: tenant-id, dedupe-key, event-id,
    event-created-at, attempt, content-type and replay.
    `available_at`: not published before, by the database's clock; within a second after.
    `traceparent`: the W3C trace that the event belongs to; none is that of the active OpenTelemetry span, if any.
    `using`: alias of the database; none is `OUTBOX_DATABASE`.
    `autocommit`: outside of a transaction, commit the event alone instead of raising `NotInTransaction`.

    The same dedupe key again gives back the first event with `created=False` and changes nothing, whatever has become
    of that event, until it is deleted when its retention is over; with `on_duplicate="error"` it raises
    `DuplicateEvent`, which says whether the payload differs. Either way the transaction remains usable. If another
    transaction has the key and has not ended, the call waits for it, as long as PostgreSQL's `lock_timeout` allows: it
    decides which of the two events is the first. So two transactions that enqueue the same keys in opposite order block
    each other, and PostgreSQL ends one of them with Django's `OperationalError` (deadlock detected), to be run again;
    the same order everywhere, such as sorted, avoids it. All this is promised at READ COMMITTED. At REPEATABLE READ and
    SERIALIZABLE a key committed since the transaction began raises `DuplicateInFlight`, and the whole transaction is to
    be run again.

    Raises `InvalidEvent` before anything is written when the event could not be stored or sent: a name or key that
    breaks its rule, a payload that JSON or jsonb cannot say, a naive `available_at`, or more than
    `OUTBOX_MAX_MESSAGE_BYTES` for key, headers and the payload as jsonb prints it. Raises `BacklogFull`, just as early,
    while the tenant has as many events waiting as its `backlog_limit` allows, as counted some seconds ago.
    """
    if on_duplicate not in ("return", "error"):
        raise ValueError(f'on_duplicate={on_duplicate!r}: must be "return" or "error".')
    event = NewEvent(
        topic=topic,
        payload=payload,
        tenant_id=tenant_id,
        partition_key=partition_key,
        dedupe_key=dedupe_key,
        headers=headers,
        available_at=available_at,
        traceparent=traceparent,
    )
    settings = conf.get()
    connection = _connection(using or settings.database, autocommit=autocommit)
    row = validate(event, max_message_bytes=settings.max_message_bytes, current_trace=current_traceparent())
    if settings.backlog_limits:
        admission.admit(alias=connection.alias, tenant_id=row.tenant_id)
    inserted = insert(connection, row, on_duplicate=on_duplicate)
    if inserted.due:
        waking.after_commit(connection, (row.tenant_id,))
    return EnqueueResult(
        event_id=inserted.event_id, created=inserted.created, tenant_id=row.tenant_id, dedupe_key=row.dedupe_key
    )


def enqueue_many(
    events: Iterable[NewEvent], *, using: str | None = None, autocommit: bool = False
) -> EnqueueManyResult:
    """Write any number of events in the open transaction, by COPY, and count them.

    Runs at once and keeps some megabytes in memory, however many there are. Their order is the order of publishing of
    those with equal keys. What yields the events may use the same database connection; a list is written faster.
    Keys that were there before, or come twice, count as duplicates; what `enqueue` promises about waiting, crossed
    keys and isolation levels holds here too.

    All events are written or, if one of them is refused or anything else fails, none, and the caller's transaction
    remains usable unless the database ended it. `InvalidEvent` says which event it is.
    Events with `available_at`, and chunks with a duplicate in them, pass through a temporary table, about half as
    fast: the database user needs the TEMPORARY privilege, and the transaction cannot be prepared for two-phase commit.
    """
    settings = conf.get()
    connection = _connection(using or settings.database, autocommit=autocommit)
    written = chunks(
        events,
        max_message_bytes=settings.max_message_bytes,
        current_trace=current_traceparent(),
        full=admission.full(alias=connection.alias) if settings.backlog_limits else {},
    )
    with transaction.atomic(using=connection.alias):
        result, tenants = bulk.write(connection, written)
        if result.created:
            waking.after_commit(connection, tenants)
    return result


def _connection(using: str, *, autocommit: bool) -> BaseDatabaseWrapper:
    connection = connections[using]
    if not autocommit and not connection.in_atomic_block and connection.get_autocommit():
        raise NotInTransaction(using)
    return connection
