"""Tenants are served side by side, each in order and by one thread at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from somabrain.memory.backend import MemoryBackend, Write
from somabrain.memory.delivery import Delivery, deliver

LANE_LASTS_SECONDS = 10.0
"""After this a tenant's writes are settled, and what is left of them comes again."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Generic[T]):
    """What became of a tenant's writes, and what they were started for."""

    items: Sequence[T]
    delivery: Delivery


class Lanes(Generic[T]):
    """At most `threads` tenants at once. Used by one thread."""

    def __init__(
        self, backend: MemoryBackend, *, threads: int, stopped: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        self._backend = backend
        self._stopped = stopped
        self._clock = clock
        self._generation = 0
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="memory-replay")
        self._under_way: dict[str, tuple[Sequence[T], Future[Delivery]]] = {}

    def is_busy(self, tenant_id: str) -> bool:
        return tenant_id in self._under_way

    def start(self, tenant_id: str, items: Sequence[T], writes: Sequence[Write]) -> None:
        """Begin to apply a tenant's writes, one for each item. The tenant must not be busy."""
        generation = self._generation
        began = self._clock()

        def enough() -> bool:
            late = self._clock() - began > LANE_LASTS_SECONDS
            return late or self._generation != generation or self._stopped()

        self._under_way[tenant_id] = (items, self._pool.submit(deliver, self._backend, writes, enough=enough))

    def wait(self, seconds: float) -> None:
        """Until all tenants are done, or that time is over."""
        wait([future for _, future in self._under_way.values()], timeout=seconds)

    def finished(self) -> dict[str, Finished[T]]:
        """Tenants that are done; each is told once."""
        done = {tenant_id: each for tenant_id, each in self._under_way.items() if each[1].done()}
        for tenant_id in done:
            del self._under_way[tenant_id]
        return {
            tenant_id: Finished(items=items, delivery=future.result()) for tenant_id, (items, future) in done.items()
        }

    def abandon(self) -> None:
        """Another process may have these writes now: of each tenant the write under way is the last one."""
        self._generation += 1

    def close(self) -> None:
        """Returns when all tenants are done."""
        self.abandon()
        self._pool.shutdown()
