"""The producer of a relay: one process's own, never used after a fork, never closed without bound."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from weakref import WeakSet

from confluent_kafka import KafkaError, KafkaException, Producer

from outbox.errors import OutboxError
from outbox.kafka.logs import ClientLog

_SUSPICIOUS = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._SSL,
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)

# librdkafka asks for a producer id when it starts, before any broker is connected, and then every 500 ms, but at
# once when metadata arrive. The first answer comes from the bootstrap connection, the second from a broker.
_WARMING_CALLS = 2
_WARMING_PAUSE = 0.02


class SenderLost(OutboxError):
    """A producer was used after it was closed, or in a process forked from the one that created it."""


class Sender:
    """One idempotent producer.

    Delivery reports come in the caller's thread, out of `poll`, `warm` and `purge_and_close`.
    """

    produce: Callable[..., None]
    """confluent_kafka's own bound `produce`, since a wrapper would cost every event."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.broker_suspect_since: float | None = None
        """When trouble with the broker first showed since `trust` was last called; monotonic seconds."""
        self.fatal: KafkaError | None = None
        """The error after which this producer delivers nothing more."""
        self._has_id = False
        self._log = ClientLog(config, heard=self._hear)
        # Only the log of this context tells when the producer id is there; it has few lines.
        contexts = ",".join(filter(None, [config.get("debug"), "eos"]))
        callbacks = {"error_cb": self._suspect, "logger": self._log}
        self._client: Producer | None = Producer({**config, **callbacks, "debug": contexts})
        self.produce = self._client.produce
        _senders.add(self)

    @property
    def outstanding(self) -> int:
        """Messages without a delivery report, plus events that wait for `poll`."""
        return 0 if self._client is None else len(self._client)

    def poll(self, timeout: float) -> int:
        """Serve delivery reports for up to `timeout` seconds; returns how many events there were.

        Raises what a delivery callback raises; librdkafka's own errors end in `fatal` and in the log.
        """
        try:
            return self._alive().poll(timeout)
        except KafkaException as error:
            self.note(error)
            return 0

    def wait(self, timeout: float) -> None:
        """Serve delivery reports for up to `timeout` seconds, or until there are no more to come.

        What lingers is sent at once: whoever waits has nothing to add. Raises like `poll`.
        """
        try:
            self._alive().flush(timeout)
        except KafkaException as error:
            self.note(error)

    def note(self, error: KafkaException) -> int:
        """The code of an exception out of `produce` or `poll`; sets `fatal` when it is a fatal one."""
        kafka_error: KafkaError = error.args[0]
        if kafka_error.fatal() or kafka_error.code() == KafkaError._FATAL:
            self.fatal = self.fatal or kafka_error
            self._log.write(logging.ERROR, "fatal", f"The producer cannot go on: {kafka_error.str()}")
        return kafka_error.code()

    def trust(self) -> None:
        """To be called when a message was delivered: the broker is there."""
        self.broker_suspect_since = None

    def warm(self, *, topic: str | None = None, timeout: float = 1.0) -> bool:
        """Connect, and get the producer id without which nothing is delivered. False when that failed.

        Saves half a second before the first delivery, and up to two after an outage. May be called again. Asks for
        the metadata of `topic`, which the broker may then create, or of all topics, of which there can be many.
        """
        deadline = time.monotonic() + timeout
        calls = 0
        while calls < _WARMING_CALLS or not self._has_id:
            if self.fatal is not None or not self._connect(topic, deadline - time.monotonic()):
                return False
            calls += 1
            if calls >= _WARMING_CALLS and not self._has_id:
                self.poll(_WARMING_PAUSE)
        return True

    def purge_and_close(self, timeout: float) -> int:
        """Give up whatever is not delivered, serve all reports and close. Returns how many never came.

        Takes little more than `timeout` seconds. What was in flight may be delivered all the same.
        """
        if self._client is None:
            return 0
        deadline = time.monotonic() + timeout
        self.poll(0)
        self._alive().purge(in_queue=True, in_flight=True)
        while self.outstanding and time.monotonic() < deadline:
            self.poll(0.01)
        lost = self.outstanding
        self._close(orderly=not lost, timeout=max(deadline - time.monotonic(), 0.1))
        return lost

    def _alive(self) -> Producer:
        if self._client is None:
            _refuse_closed()
        return self._client

    def _connect(self, topic: str | None, timeout: float) -> bool:
        if timeout <= 0:
            return False
        try:
            self._alive().list_topics(topic, timeout=timeout)
        except KafkaException:
            return False
        finally:
            self.poll(0)
        return True

    def _close(self, *, orderly: bool, timeout: float) -> None:
        """In a thread, because neither a flush nor a name server has to answer within any time."""
        client, self._client, self.produce = self._client, None, _refuse_closed
        thread = threading.Thread(target=_release, args=[client, orderly], daemon=True)
        del client
        thread.start()
        thread.join(timeout)

    def _disown(self) -> None:
        """In a forked child. The client is kept, since destroying one without its threads takes a second."""
        _orphans.append(self._client)
        self._client, self.produce = None, _refuse_forked
        self._alive = _refuse_forked  # type: ignore[method-assign]  # whatever is asked of it

    def _hear(self, facility: str, text: str) -> None:
        if facility == "GETPID" and "Acquired PID" in text:
            self._has_id = True

    def _suspect(self, error: KafkaError) -> None:
        """librdkafka's error callback; what it raised would come out of `poll`."""
        if error.code() in _SUSPICIOUS and self.broker_suspect_since is None:
            self.broker_suspect_since = time.monotonic()
        self._log.write(logging.WARNING, error.name(), f"Kafka: {error.str()}")


def _release(client: Producer, orderly: bool) -> None:
    # Without an orderly end the client goes with its last reference, and does not flush.
    if orderly:
        client.close()


def _refuse_closed(*_: object, **__: object) -> NoReturn:
    raise SenderLost("This producer is closed: create a new one.")


def _refuse_forked(*_: object, **__: object) -> NoReturn:
    raise SenderLost(
        f"This producer belongs to the parent of process {os.getpid()}: "
        "librdkafka's threads do not survive a fork, so create producers after it."
    )


def _disown_all() -> None:
    for sender in list(_senders):
        sender._disown()


_senders: WeakSet[Sender] = WeakSet()
_orphans: list[Producer | None] = []
os.register_at_fork(after_in_child=_disown_all)
