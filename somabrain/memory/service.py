"""The door to a tenant's memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError

from circuits.api import CircuitOpen
from outbox.errors import OutboxError
from somabrain.memory import guarded, metrics, queue, status
from somabrain.memory.backend import Memory, MemoryBackend, Question, Write
from somabrain.memory.errors import BackendFailed, BackendRejected, InvalidArgument, NotRemembered, Overtaken
from somabrain.memory.names import checked_key, checked_namespace, checked_tenant, tenant_of
from somabrain.memory.queue import Standing
from somabrain.memory.results import Health, Remembered
from somabrain.memory.status import CircuitStatus
from somabrain.memory.trouble import Trouble

logger = logging.getLogger(__name__)

MOST_RESULTS = 10_000
"""`top_k` is no more."""

_no_database = Trouble(logger, "The database cannot say what waits, so writes go to the memory without asking it")


class MemoryService:
    """One namespace of one tenant's memory. Cheap to make: connections are the backend's, the state is everybody's.

    `tenant_id`: by default what follows the last colon of the namespace, or all of it: `notes:acme` and `acme` are
    acme's. Raises `InvalidArgument` for a name that breaks its rule.
    """

    def __init__(self, backend: MemoryBackend, namespace: str, *, tenant_id: str | None = None) -> None:
        self._backend = backend
        self._namespace = checked_namespace(namespace)
        self._tenant_id = checked_tenant(tenant_of(self._namespace) if tenant_id is None else tenant_id)
        self._circuit = guarded.circuit_of(self._tenant_id)

    @property
    def tenant_id(self) -> str:
        return self._tenant_id

    @property
    def namespace(self) -> str:
        return self._namespace

    def remember(self, key: str, payload: Any) -> Remembered:
        """Write one key. The write that was made last wins, whatever fails in between.

        `key`: at most 190 characters.
        `payload`: what JSON can say, as for `outbox.api.enqueue`.

        Outside of a transaction the memory is asked at once. If it fails, or its circuit is open, or an earlier write
        of the key still waits, the write is committed to the outbox and `queued` is true; `manage.py memory replay`
        applies it.
        Inside a transaction the write always goes to the outbox, as part of that transaction: it is applied after the
        commit, and a rollback takes it back.

        Raises `InvalidArgument`; `BackendRejected` if the memory refuses what it was given; `NotRemembered` if neither
        the memory nor the outbox took it, and `Overtaken`, which is one, if the memory ignored it for a higher version
        that nobody can account for, twice.
        """
        begun = self._begin(key, payload)
        if isinstance(begun, Remembered):
            return begun
        write, standing = begun
        try:
            kept = guarded.put(self._circuit, self._backend, write)
            if self._is_ignored(write, standing, kept):
                write = replace(write, version=kept + 1)
                kept = guarded.put(self._circuit, self._backend, write)
        except Exception as error:
            return self._queue_after(error, write)
        finally:
            self._report_circuit()
        return self._stored(write, standing, kept)

    async def aremember(self, key: str, payload: Any) -> Remembered:
        """`remember` for coroutines."""
        begun = await sync_to_async(self._begin)(key, payload)
        if isinstance(begun, Remembered):
            return begun
        write, standing = begun
        try:
            kept = await guarded.aput(self._circuit, self._backend, write)
            if kept > write.version and await sync_to_async(self._is_ignored)(write, standing, kept):
                write = replace(write, version=kept + 1)
                kept = await guarded.aput(self._circuit, self._backend, write)
        except Exception as error:
            return await sync_to_async(self._queue_after)(error, write)
        finally:
            self._report_circuit()
        return await sync_to_async(self._stored)(write, standing, kept)

    def recall(self, query: Any, top_k: int = 5) -> Sequence[Memory]:
        """At most `top_k` memories of this tenant and namespace, the best first.

        Writes that wait are not found. Raises `CircuitOpen`, which says in `retry_after` when to try again,
        `InvalidArgument`, `BackendRejected`, and what else the backend raises, such as `BackendFailed`.
        """
        question = self._question(query, top_k)
        try:
            return guarded.search(self._circuit, self._backend, question)
        finally:
            self._report_circuit()

    async def arecall(self, query: Any, top_k: int = 5) -> Sequence[Memory]:
        """`recall` for coroutines."""
        question = self._question(query, top_k)
        try:
            return await guarded.asearch(self._circuit, self._backend, question)
        finally:
            self._report_circuit()

    def health(self) -> Health:
        """Ask the memory, past the circuit. Counts and changes nothing, and never fails."""
        circuit = status.of_tenant(self._tenant_id)
        answer = self._ping()
        return Health(
            ok=answer == "ok" and not circuit["retry_after"],
            backend=answer,
            circuit=circuit["state"],
            retry_after=circuit["retry_after"],
            waiting=self._count_waiting(),
        )

    def get_circuit_state(self) -> CircuitStatus:
        """The tenant's circuit now. Reading it changes nothing."""
        return status.of_tenant(self._tenant_id)

    @classmethod
    def configure_tenant_thresholds(
        cls, tenant: str, *, failure_threshold: int | None = None, reset_interval: float | None = None
    ) -> None:
        """Set when the tenant's circuit opens, and for how many seconds at first. None leaves a value as it is.

        Every process follows within a second. Raises `InvalidArgument`, and `circuits.errors.InvalidThreshold`.
        """
        status.configure(_tenant(tenant), failure_threshold=failure_threshold, reset_interval=reset_interval)

    @classmethod
    def get_all_tenant_circuit_states(cls) -> dict[str, CircuitStatus]:
        """By tenant: all that ever had a failure, or thresholds of their own. The circuits of others are closed."""
        return status.of_all()

    @classmethod
    def reset_circuit_for_tenant(cls, tenant: str) -> None:
        """Close the tenant's circuit and forget its failures, for every process. Raises `InvalidArgument`."""
        tenant_id = _tenant(tenant)
        status.reset(tenant_id)
        metrics.report_circuit(tenant_id, guarded.circuit_of(tenant_id).state())

    @classmethod
    def _update_outbox_metric(cls, tenant: str | None = None, count: int | None = None) -> None:
        """Set `memory_outbox_pending` of a tenant, to `count` or to what the database has; or of all tenants.

        Never fails: then the figure stays as it was, and one warning is logged.
        """
        metrics.report_pending(tenant, count)

    def _begin(self, key: str, payload: Any) -> Remembered | tuple[Write, Standing]:
        """All that comes before the memory is asked, which it may not have to be."""
        place = (self._tenant_id, self._namespace, checked_key(key))
        queue.check(place, payload)
        inside = queue.in_transaction()
        standing = self._look_inside(place) if inside else self._look(place)
        write = Write(
            tenant_id=self._tenant_id, namespace=self._namespace, key=key, payload=payload, version=standing.version
        )
        return self._queue(write) if inside or standing.waits else (write, standing)

    def _look(self, place: queue.Place) -> Standing:
        """A database that is out is no reason not to ask the memory."""
        try:
            standing = queue.look(place)
        except (DatabaseError, InterfaceError) as error:
            _no_database.begins(error)
            queue.reconnect_if_broken()
            return Standing(version=_host_time(), waits=False, certain=False)
        _no_database.is_over()
        return standing

    def _look_inside(self, place: queue.Place) -> Standing:
        try:
            return queue.look(place)
        except (DatabaseError, InterfaceError) as error:
            raise NotRemembered(place[2]) from error

    def _is_ignored(self, write: Write, standing: Standing, kept: int) -> bool:
        """Whether the memory ignored the write for one that need not be newer.

        By the database's time, a higher version that is not in the future is that of a write which was begun while
        this one was on its way. Everything else comes of a clock that is wrong: this host's, or another one's.
        """
        if kept <= write.version:
            return False
        now = self._look((write.tenant_id, write.namespace, write.key)) if standing.certain else standing
        return not now.certain or kept > now.version

    def _queue_after(self, error: Exception, write: Write) -> Remembered:
        """The version stays: the memory may have taken the write all the same, and then it is the same one again."""
        if isinstance(error, BackendRejected):
            metrics.count_remembered("rejected")
            raise error
        if not isinstance(error, CircuitOpen | BackendFailed):
            logger.warning("The memory raised what it should not; the write is queued.", exc_info=error)
        return self._queue(write)

    def _queue(self, write: Write) -> Remembered:
        try:
            event_id = queue.add(write)
        except (OutboxError, DatabaseError, InterfaceError) as error:
            raise NotRemembered(write.key) from error
        metrics.count_remembered("queued")
        queue.after_commit(lambda: metrics.report_pending(write.tenant_id))
        return Remembered(queued=True, event_id=event_id, version=write.version)

    def _stored(self, write: Write, standing: Standing, kept: int) -> Remembered:
        if self._is_ignored(write, standing, kept):
            raise Overtaken(write.key)
        if standing.leftovers:
            with _no_database.contained():
                queue.settle([write])
        metrics.count_remembered("stored")
        return Remembered(queued=False, event_id=None, version=write.version)

    def _question(self, query: Any, top_k: Any) -> Question:
        if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= MOST_RESULTS:
            raise InvalidArgument("top_k", repr(top_k), f"it must be a whole number from 1 to {MOST_RESULTS}")
        return Question(tenant_id=self._tenant_id, namespace=self._namespace, query=query, top_k=top_k)

    def _ping(self) -> str:
        try:
            self._backend.ping()
        except Exception as error:
            return str(error) or type(error).__name__
        return "ok"

    def _count_waiting(self) -> int | None:
        try:
            return queue.count(self._tenant_id)
        except (DatabaseError, InterfaceError):
            return None

    def _report_circuit(self) -> None:
        metrics.report_circuit(self._tenant_id, self._circuit.state())


def _host_time() -> int:
    return time.time_ns() // 1_000


def _tenant(label: Any) -> str:
    return checked_tenant(tenant_of(label) if isinstance(label, str) else label)
