"""What can go wrong, one class for each way out."""

from __future__ import annotations

from datetime import datetime

from circuits.typed_settings import InvalidValue


class OutboxError(Exception):
    """Something is wrong with the outbox."""


class InvalidSetting(OutboxError, InvalidValue):
    """A setting cannot be used."""


class InvalidEvent(OutboxError, ValueError):
    """An event cannot be accepted. Nothing of it was written, and the transaction remains usable."""

    def __init__(self, field: str, value: str, reason: str, way_out: str) -> None:
        super().__init__(field, value, reason, way_out)
        self.field = field
        self.value = value
        """An excerpt at most: an event may carry secrets, and errors end in logs."""
        self.reason = reason
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.field}={self.value}: {self.reason}. {self.way_out}."


class NotInTransaction(OutboxError):
    """An event was enqueued outside of a transaction, so it could not be committed together with anything."""

    def __init__(self, using: str) -> None:
        super().__init__(using)
        self.using = using

    def __str__(self) -> str:
        return (
            f"No transaction is open on the database {self.using!r}, so the event would not be committed together with "
            "the change it tells of. Enqueue inside transaction.atomic(), or pass autocommit=True if it stands alone."
        )


class DuplicateEvent(OutboxError):
    """The tenant already has an event with this dedupe key. The transaction remains usable."""

    def __init__(self, tenant_id: str, dedupe_key: str, event_id: int, payload_differs: bool) -> None:
        super().__init__(tenant_id, dedupe_key, event_id, payload_differs)
        self.tenant_id = tenant_id
        self.dedupe_key = dedupe_key
        self.event_id = event_id
        self.payload_differs = payload_differs

    def __str__(self) -> str:
        payload = "another payload, so this one would never be sent" if self.payload_differs else "the same payload"
        return (
            f"dedupe_key={self.dedupe_key!r}: tenant {self.tenant_id!r} already has event {self.event_id} with this "
            f'key and {payload}. Pass on_duplicate="return" to be given the first event.'
        )


class DuplicateInFlight(OutboxError):
    """Another transaction has taken the same dedupe key, and this one cannot see its event. Roll back and run again."""

    def __init__(self, tenant_id: str | None = None, dedupe_key: str | None = None) -> None:
        super().__init__(tenant_id, dedupe_key)
        self.tenant_id = tenant_id
        self.dedupe_key = dedupe_key
        """Both are None when one of many events is meant."""

    def __str__(self) -> str:
        key = "a dedupe key" if self.dedupe_key is None else f"dedupe_key={self.dedupe_key!r} of {self.tenant_id!r}"
        return (
            f"Another transaction has taken {key}, and this one cannot see its event, as it began before that was "
            "committed. Run the whole transaction again, or use READ COMMITTED."
        )


class BacklogFull(OutboxError):
    """As much of the tenant waits as its policy allows. Nothing was written, and the transaction remains usable."""

    def __init__(self, tenant_id: str, pending: int, limit: int, counted_at: datetime) -> None:
        super().__init__(tenant_id, pending, limit, counted_at)
        self.tenant_id = tenant_id
        self.pending = pending
        self.limit = limit
        """Its `backlog_limit`."""
        self.counted_at = counted_at
        """When that many were counted, by the database's clock: some seconds ago."""

    def __str__(self) -> str:
        return (
            f"tenant_id={self.tenant_id!r}: {self.pending} events were pending at {self.counted_at:%H:%M:%S %Z}, and "
            f"its backlog_limit is {self.limit}. Try again when relays have caught up, or raise that in its policy."
        )


class ProducerLost(OutboxError):
    """The Kafka producer cannot go on and must be replaced."""


class RelayBuried(OutboxError):
    """This relay was taken for dead and its lanes were given to others."""
