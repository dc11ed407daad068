"""Writes that wait in the outbox and on its topic, and what is known of each key before the next one.

A write has a row from the transaction that queued it until it, or a newer one of its key, is applied. So a message
without a row has nothing left to do, however often it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction
from django.db.models import Count
from django.db.models.functions import Now

from circuits.timeouts import lower_statement_timeout, set_statement_timeout
from outbox import conf
from outbox.api import NewEvent, enqueue
from outbox.enqueueing.validation import validate
from outbox.errors import InvalidEvent
from somabrain.memory import sql
from somabrain.memory.backend import Write
from somabrain.memory.errors import InvalidArgument
from somabrain.memory.names import TOPIC
from somabrain.models import QueuedWrite

Place = tuple[str, str, str]
"""Tenant, namespace and key."""

_REASON_LENGTH = 255
_FIGURES_MILLISECONDS = 2_000
_LONGEST_VERSION = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand with a key before a write."""

    version: int
    """For the write: higher than that of any other before it."""
    waits: bool
    """Whether a write of the key waits, so that this one has to wait behind it."""
    certain: bool = True
    """Whether the database says so; if not, the version is the host's own time, which may be wrong."""
    leftovers: bool = False
    """Whether the key has rows that nobody waits for, and that a newer write outdates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """One row."""

    place: Place
    version: int
    rejected: bool


def in_transaction() -> bool:
    """Whether the caller has a transaction open, which a queued write becomes part of."""
    connection = connections[_alias()]
    return connection.in_atomic_block or (connection.connection is not None and not connection.get_autocommit())


def check(place: Place, payload: Any) -> None:
    """Whether the write could be queued, should it have to be. Raises `InvalidArgument`."""
    try:
        validate(
            _event(place, payload, _LONGEST_VERSION), max_message_bytes=conf.get().max_message_bytes, current_trace=None
        )
    except InvalidEvent as error:
        field = "key" if error.field == "partition_key" else error.field
        raise InvalidArgument(field, error.value, f"{error.reason}. {error.way_out}") from error


def look(place: Place) -> Standing:
    """How things stand, in the caller's transaction if there is one. Raises Django's database errors."""
    tenant_id, namespace, key = place
    with connections[_alias()].cursor() as cursor:
        cursor.execute(sql.load("look"), {"tenant_id": tenant_id, "namespace": namespace, "key": key})
        now, newest, waits = cursor.fetchone()
    if newest is None:
        return Standing(version=now, waits=False)
    return Standing(version=max(now, newest + 1), waits=waits, leftovers=not waits)


def add(write: Write) -> int:
    """Queue it, in the caller's transaction if there is one. Returns the event's id.

    Raises `outbox.errors.OutboxError` and Django's database errors; unless the database is gone, the caller's
    transaction remains usable.
    """
    alias = _alias()
    event = _event((write.tenant_id, write.namespace, write.key), write.payload, write.version)
    with transaction.atomic(using=alias):
        queued = enqueue(
            topic=event.topic,
            payload=event.payload,
            tenant_id=event.tenant_id,
            partition_key=event.partition_key,
            using=alias,
        )
        QueuedWrite.objects.using(alias).create(
            event_id=queued.event_id,
            tenant_id=write.tenant_id,
            namespace=write.namespace,
            key=write.key,
            version=write.version,
        )
    return queued.event_id


def after_commit(function: Callable[[], object]) -> None:
    """Call it once the caller's transaction has committed, or now if there is none.

    Not at all without autocommit, where Django does not know when that is.
    """
    connection = connections[_alias()]
    if connection.in_atomic_block or connection.get_autocommit():
        transaction.on_commit(function, using=connection.alias, robust=True)


def rows(event_ids: Iterable[int]) -> Mapping[int, Queued]:
    """The rows of these events, as far as they have one."""
    found = QueuedWrite.objects.using(_alias()).in_bulk(list(event_ids))
    return {
        event_id: Queued(
            place=(row.tenant_id, row.namespace, row.key), version=row.version, rejected=row.rejected_at is not None
        )
        for event_id, row in found.items()
    }


def settle(applied: Sequence[Write]) -> None:
    """These are applied."""
    if not applied:
        return
    with connections[_alias()].cursor() as cursor:
        cursor.execute(
            sql.load("settle"),
            {
                "tenants": [write.tenant_id for write in applied],
                "namespaces": [write.namespace for write in applied],
                "keys": [write.key for write in applied],
                "versions": [write.version for write in applied],
            },
        )


def reject(event_id: int, reason: str) -> None:
    """The memory will never take it: it waits no more, and stands there for staff to see."""
    text = reason.replace("\x00", "")[:_REASON_LENGTH]
    QueuedWrite.objects.using(_alias()).filter(pk=event_id).update(rejected_at=Now(), reason=text)


def anything_waits() -> bool:
    return QueuedWrite.objects.using(_alias()).waiting().exists()


def count(tenant_id: str) -> int:
    """How many writes of the tenant wait."""
    with _aside():
        return QueuedWrite.objects.using(_alias()).waiting().of_tenant(tenant_id).count()


def counts(*, tenants: Collection[str] | None = None, limit: int | None = None) -> dict[str, int]:
    """How many writes wait of each tenant, or of each of these, the longest queues first. Who has none is missing."""
    rows = QueuedWrite.objects.using(_alias()).waiting()
    if tenants is not None:
        rows = rows.filter(tenant_id__in=tenants)
    waiting = rows.values("tenant_id").annotate(number=Count("*"))
    with _aside():
        return dict(waiting.order_by("-number", "tenant_id").values_list("tenant_id", "number")[:limit])


def reconnect_if_broken() -> None:
    """After an error outside of a transaction: the next statement gets a connection that works."""
    connections[_alias()].close_if_unusable_or_obsolete()


@contextmanager
def _aside() -> Iterator[None]:
    """For figures: neither may they take long, nor may an error spoil the caller's transaction."""
    connection = connections[_alias()]
    with transaction.atomic(using=_alias()):
        before = lower_statement_timeout(connection, milliseconds=_FIGURES_MILLISECONDS)
        yield
        set_statement_timeout(connection, before)


def _event(place: Place, payload: Any, version: int) -> NewEvent:
    tenant_id, namespace, key = place
    return NewEvent(
        topic=TOPIC,
        payload={"namespace": namespace, "key": key, "payload": payload, "version": version},
        tenant_id=tenant_id,
        partition_key=f"{namespace}:{key}",
    )


def _alias() -> str:
    return conf.get().database
