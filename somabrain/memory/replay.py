"""Applies the writes that wait on the topic, tenant by tenant, in order per key, and commits what is done.

A message without a row in the queue is done already: it was applied, or a newer write of its key was. So whatever comes
twice, after a kill or a rebalance, is applied at most once more than needed, and never over something newer.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import Message
from django.db import DatabaseError, InterfaceError

from outbox.kafka.message import NotAnEvent, ReceivedEvent, parse_message
from somabrain.memory import guarded, metrics, queue
from somabrain.memory.backend import MemoryBackend, Write
from somabrain.memory.delivery import Delivery, deliver
from somabrain.memory.holds import Holds
from somabrain.memory.queue import Queued
from somabrain.memory.trouble import Trouble

logger = logging.getLogger(__name__)

BATCH = 200
READ_SECONDS = 0.2
BATCH_SECONDS = 20.0
"""After this a batch ends, and what is left of it comes again: the group must not take us for dead."""
RETRY_SECONDS = 1.0
"""A tenant that failed is looked at again after this: its circuit says whether it is tried."""
REPORT_SECONDS = 1.0

_database = Trouble(logger, "The database does not say what waits; nothing is applied until it does")
_CLOSED_TO_US = ("open", "forced_open")


class Reader(Protocol):
    """Where messages come from; `TopicReader` is one."""

    def read(self, most: int, *, seconds: float) -> list[Message]: ...

    def rewind(self, partition: int, offset: int) -> bool: ...

    def commit(self, offsets: Mapping[int, int]) -> None: ...


@dataclass(slots=True, kw_only=True)
class Summary:
    applied: int = 0
    rejected: int = 0
    skipped: int = 0
    """Nothing was left to do for these messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    event: ReceivedEvent
    write: Write


class Replay:
    """One consumer of the group. Once `stopped`, the write under way is the last one of each tenant."""

    def __init__(
        self,
        backend: MemoryBackend,
        *,
        threads: int,
        stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.summary = Summary()
        self.holds = Holds()
        self._backend = backend
        self._clock = clock
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="memory-replay")
        self._blocked: dict[str, float] = {}
        self._report_at = float("-inf")
        self._stopped = stopped

    def close(self) -> None:
        self._pool.shutdown()

    def step(self, reader: Reader) -> bool:
        """Read some messages and do what they ask for. Whether anything was applied or rejected."""
        self._wind_back(reader, self._served_again())
        messages = reader.read(BATCH, seconds=READ_SECONDS)
        before = self.summary.applied + self.summary.rejected
        try:
            self._work(messages)
        except (DatabaseError, InterfaceError) as error:
            _database.begins(error)
            queue.reconnect_if_broken()
            self._repeat(messages)
        else:
            _database.is_over()
        reader.commit(self.holds.committable())
        self._report()
        return self.summary.applied + self.summary.rejected > before

    def _work(self, messages: Sequence[Message]) -> None:
        events = [event for message in messages if (event := _event(message)) is not None]
        found = queue.rows(event.event_id for event in events) if events else {}
        lanes: dict[str, list[_Item]] = {}
        for event in events:
            item = self._item(event, found.get(event.event_id))
            if item is not None:
                lanes.setdefault(event.tenant_id, []).append(item)
        self._deliver(lanes)
        for message in messages:
            self.holds.pass_by(*_place(message))

    def _item(self, event: ReceivedEvent, row: Queued | None) -> _Item | None:
        """None if nothing is to be done for it. What the memory refused is tried again if staff replay it."""
        if row is None or (row.rejected and event.replay is None):
            self._skip()
            return None
        try:
            write = _write(event)
        except (ValueError, KeyError, TypeError) as error:
            self._reject(event.event_id, f"its message cannot be read: {error!r}")
            return None
        if row.place != (write.tenant_id, write.namespace, write.key) or row.version != write.version:
            logger.error(
                "Message %s[%s]@%s is not the write that was queued.", event.topic, event.partition, event.offset
            )
            self._skip()
            return None
        return _Item(event=event, write=write)

    def _deliver(self, lanes: Mapping[str, Sequence[_Item]]) -> None:
        """Each tenant in a thread: one that hangs keeps no other one waiting."""
        until = self._clock() + BATCH_SECONDS
        open_lanes = {tenant_id: items for tenant_id, items in lanes.items() if tenant_id not in self._blocked}
        under_way = {
            tenant_id: self._pool.submit(
                deliver,
                self._backend,
                [item.write for item in items],
                enough=lambda: self._stopped() or self._clock() > until,
            )
            for tenant_id, items in open_lanes.items()
        }
        done = {tenant_id: future.result() for tenant_id, future in under_way.items()}
        self._settle(open_lanes, done)
        for tenant_id, items in lanes.items():
            left = items[done[tenant_id].done :] if tenant_id in done else items
            self._hold(tenant_id, left, failed=tenant_id not in done or done[tenant_id].failed)

    def _settle(self, lanes: Mapping[str, Sequence[_Item]], done: Mapping[str, Delivery]) -> None:
        applied = [write for delivery in done.values() for write in delivery.applied]
        queue.settle(applied)
        self.summary.applied += len(applied)
        metrics.count_replayed("applied", len(applied))
        for tenant_id, delivery in done.items():
            for place, reason in delivery.rejected.items():
                self._reject(lanes[tenant_id][place].event.event_id, reason)
            metrics.report_circuit(tenant_id, guarded.circuit_of(tenant_id).state())

    def _hold(self, tenant_id: str, items: Sequence[_Item], *, failed: bool) -> None:
        for item in items:
            self.holds.hold(item.event.partition, item.event.offset, tenant_id)
        if items:
            pause = RETRY_SECONDS if failed else 0.0
            self._blocked.setdefault(tenant_id, self._clock() + pause)

    def _served_again(self) -> set[str]:
        """Tenants whose messages are to be read again. What their circuit says costs nothing."""
        now = self._clock()
        for tenant_id, until in list(self._blocked.items()):
            if now < until:
                continue
            if tenant_id != _NOBODY and guarded.circuit_of(tenant_id).state() in _CLOSED_TO_US:
                self._blocked[tenant_id] = now + RETRY_SECONDS
            else:
                del self._blocked[tenant_id]
        return self.holds.tenants - self._blocked.keys()

    def _wind_back(self, reader: Reader, tenants: set[str]) -> None:
        for partition, offset in self.holds.rewinds(tenants).items():
            if reader.rewind(partition, offset):
                self.holds.rewound(partition, offset)

    def _repeat(self, messages: Sequence[Message]) -> None:
        """Nothing is known of them, so they count as unread."""
        for message in messages:
            partition, offset = _place(message)
            self.holds.pass_by(partition, offset)
            self.holds.hold(partition, offset, _NOBODY)
        self._blocked[_NOBODY] = self._clock() + RETRY_SECONDS

    def _report(self) -> None:
        """However long the queues are, counting them takes a small part of the time."""
        began = self._clock()
        if began >= self._report_at:
            metrics.report_pending()
            self._report_at = began + max(REPORT_SECONDS, 10 * (self._clock() - began))

    def _reject(self, event_id: int, reason: str) -> None:
        queue.reject(event_id, reason)
        self.summary.rejected += 1
        metrics.count_replayed("rejected")

    def _skip(self) -> None:
        self.summary.skipped += 1
        metrics.count_replayed("skipped")


_NOBODY = "_nobody"
"""Holds back whole batches. No tenant can be named so."""


def _event(message: Message) -> ReceivedEvent | None:
    try:
        return parse_message(message)
    except NotAnEvent as error:
        logger.error("%s It is left out.", error)
        return None


def _write(event: ReceivedEvent) -> Write:
    """Raises `ValueError`, `KeyError` and `TypeError`."""
    found = json.loads(event.payload)
    return Write(
        tenant_id=event.tenant_id,
        namespace=found["namespace"],
        key=found["key"],
        payload=found["payload"],
        version=found["version"],
    )


def _place(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    assert partition is not None and offset is not None  # noqa: S101  a message that was read has both
    return partition, offset
