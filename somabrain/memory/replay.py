"""Applies the writes that wait on the topic, tenant by tenant, in order per key, and commits what is done.

A message without a row in the queue is done already: it was applied, or a newer write of its key was. So whatever comes
twice, after a kill or a rebalance, is applied at most once more than needed, and never over something newer.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import Message
from django.db import DatabaseError, InterfaceError

from outbox.kafka.message import NotAnEvent, ReceivedEvent, parse_message
from somabrain.memory import guarded, metrics, queue
from somabrain.memory.backend import MemoryBackend, Write
from somabrain.memory.holds import Holds
from somabrain.memory.lanes import Finished, Lanes
from somabrain.memory.queue import Queued
from somabrain.memory.trouble import Trouble

logger = logging.getLogger(__name__)

BATCH = 200
READ_SECONDS = 0.2
LANE_SECONDS = 0.5
"""So long are tenants waited for; one that takes longer goes on by itself."""
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
        self._holds = Holds()
        self._clock = clock
        self._lanes: Lanes[_Item] = Lanes(backend, threads=threads, stopped=stopped, clock=clock)
        self._blocked: dict[str, float] = {}
        self._report_at = float("-inf")

    def forget(self, partition: int) -> None:
        """It comes or goes: who had it may not go on with it."""
        self._holds.forget(partition)
        self._lanes.abandon()

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
        reader.commit(self._holds.committable())
        self._report()
        return self.summary.applied + self.summary.rejected > before

    def close(self) -> None:
        """Returns when the writes under way have ended."""
        self._lanes.close()
        try:
            self._settle(self._lanes.finished())
        except (DatabaseError, InterfaceError) as error:
            _database.begins(error)

    def _work(self, messages: Sequence[Message]) -> None:
        events = [event for message in messages if (event := _event(message)) is not None]
        found = queue.rows(event.event_id for event in events) if events else {}
        wanted: dict[str, list[_Item]] = {}
        for event in events:
            item = self._item(event, found.get(event.event_id))
            if item is not None:
                wanted.setdefault(event.tenant_id, []).append(item)
        self._deliver(wanted)
        for message in messages:
            self._holds.pass_by(*_place(message))

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
            logger.error("The message of event %s is not the write that was queued; it is left out.", event.event_id)
            self._skip()
            return None
        return _Item(event=event, write=write)

    def _deliver(self, wanted: Mapping[str, Sequence[_Item]]) -> None:
        """What does not end soon goes on beside the next messages, and is held like what was not begun."""
        for tenant_id, items in wanted.items():
            if tenant_id not in self._blocked and not self._lanes.is_busy(tenant_id):
                self._lanes.start(tenant_id, items, [item.write for item in items])
        self._lanes.wait(LANE_SECONDS)
        finished = self._lanes.finished()
        for tenant_id, items in wanted.items():
            begun = finished.get(tenant_id)
            for item in items[begun.delivery.done :] if begun is not None and begun.items is items else items:
                self._holds.hold(item.event.partition, item.event.offset, tenant_id)
        self._settle(finished)

    def _settle(self, finished: Mapping[str, Finished[_Item]]) -> None:
        for tenant_id, each in finished.items():
            self._blocked[tenant_id] = self._clock() + (RETRY_SECONDS if each.delivery.failed else 0.0)
            metrics.report_circuit(tenant_id, guarded.circuit_of(tenant_id).state())
        applied = [write for each in finished.values() for write in each.delivery.applied]
        queue.settle(applied)
        self.summary.applied += len(applied)
        metrics.count_replayed("applied", len(applied))
        for each in finished.values():
            for place, reason in each.delivery.rejected.items():
                self._reject(each.items[place].event.event_id, reason)

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
        return {each for each in self._holds.tenants if each not in self._blocked and not self._lanes.is_busy(each)}

    def _wind_back(self, reader: Reader, tenants: set[str]) -> None:
        for partition, offset in self._holds.rewinds(tenants).items():
            if reader.rewind(partition, offset):
                self._holds.rewound(partition, offset)

    def _repeat(self, messages: Sequence[Message]) -> None:
        """Nothing is known of them, so they count as unread."""
        for message in messages:
            partition, offset = _place(message)
            self._holds.pass_by(partition, offset)
            self._holds.hold(partition, offset, _NOBODY)
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
