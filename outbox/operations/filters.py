"""Which events are meant, and where in their order one stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

from outbox.errors import OutboxError
from outbox.models import EventStatus

MOST_IDS = 1_000
EVENT_COLUMNS = (
    "id",
    "tenant_id",
    "topic",
    "partition_key",
    "dedupe_key",
    "status",
    "attempts",
    "error_class",
    "created_at",
    "available_at",
    "sent_at",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidFilter(OutboxError):
    """Events cannot be chosen like this."""


class Place(NamedTuple):
    """Where an event stands among those of one status: the order in which a tenant's events are published."""

    tenant_id: str
    created_at: datetime
    event_id: int

    def __str__(self) -> str:
        return f"{self.tenant_id}/{(self.created_at - _EPOCH) // timedelta(microseconds=1)}/{self.event_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that `str` wrote. Raises `InvalidFilter`."""
        try:
            tenant_id, microseconds, event_id = text.split("/")
            return cls(tenant_id, _EPOCH + timedelta(microseconds=int(microseconds)), int(event_id))
        except (ValueError, OverflowError):
            raise InvalidFilter(
                f"{text!r} is no place in a list of events: pass on what the list before said"
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event without its payload and headers, which may be large and confidential."""

    event_id: int
    tenant_id: str
    topic: str
    partition_key: str
    dedupe_key: str
    status: EventStatus
    attempts: int
    error_class: str
    created_at: datetime
    available_at: datetime | None
    sent_at: datetime | None

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Self:
        """From the values of `EVENT_COLUMNS`."""
        values = dict(zip(EVENT_COLUMNS, row, strict=True))
        return cls(event_id=values.pop("id"), status=EventStatus(values.pop("status")), **values)

    @property
    def place(self) -> Place:
        return Place(self.tenant_id, self.created_at, self.event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """All that is given has to hold. Raises `InvalidFilter` for what no index could answer."""

    tenant_id: str | None = None
    tenants: tuple[str, ...] | None = None
    """Whoever asks is limited to these: events of others do not exist for them. None: not limited."""
    topic: str | None = None
    statuses: tuple[EventStatus, ...] = ()
    """None given: all of them; with an error class, dead letters and retries."""
    error_class: str | None = None
    created_before: datetime | None = None
    ids: tuple[int, ...] = ()
    dedupe_key: str | None = None
    partition_key: str | None = None
    up_to_id: int | None = None

    def __post_init__(self) -> None:
        if self.dedupe_key is not None and self.tenant_id is None:
            raise InvalidFilter("a dedupe key is one of a tenant: name the tenant as well")
        if self.partition_key is not None and self.tenant_id is None:
            raise InvalidFilter("a partition key is one of a tenant: name the tenant as well")
        if len(self.ids) > MOST_IDS:
            raise InvalidFilter(f"{len(self.ids)} ids: name at most {MOST_IDS}")
        if any(not 0 < each < 2**63 for each in self.ids):
            raise InvalidFilter("an event's id is a positive whole number")

    @property
    def is_named(self) -> bool:
        """Whether it names events one by one."""
        return bool(self.ids) or self.dedupe_key is not None

    @property
    def only_tenant(self) -> str | None:
        """The one tenant whose events can match, if there is but one."""
        if self.tenant_id is None and self.tenants is not None and len(self.tenants) == 1:
            return self.tenants[0]
        return self.tenant_id

    @property
    def is_of_nobody(self) -> bool:
        """Whether no event can match, since its tenant does not exist for whoever asks."""
        if self.tenants is None:
            return False
        return not self.tenants or self.tenant_id not in (None, *self.tenants)

    @property
    def possible(self) -> tuple[EventStatus, ...]:
        """Statuses that an event chosen may have."""
        if self.statuses:
            return tuple(dict.fromkeys(self.statuses))
        return (EventStatus.FAILED, EventStatus.SCHEDULED) if self.error_class else tuple(EventStatus)

    def matches(self, row: EventRow) -> bool:
        return (
            row.status in self.possible
            and self.tenant_id in (None, row.tenant_id)
            and (self.tenants is None or row.tenant_id in self.tenants)
            and self.topic in (None, row.topic)
            and self.error_class in (None, row.error_class)
            and self.dedupe_key in (None, row.dedupe_key)
            and self.partition_key in (None, row.partition_key)
            and (self.created_before is None or row.created_at < self.created_before)
            and (not self.ids or row.event_id in self.ids)
            and (self.up_to_id is None or row.event_id <= self.up_to_id)
        )

    def narrowed(self, **changes: Any) -> Filter:
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        """What was given, for the record."""
        given: dict[str, Any] = {
            "tenant": self.tenant_id,
            "topic": self.topic,
            "status": _values(self.statuses),
            "error_class": self.error_class,
            "created_before": self.created_before and self.created_before.isoformat(),
            "ids": list(self.ids),
            "dedupe_key": self.dedupe_key,
            "partition_key": self.partition_key,
        }
        # No tenant, and no number, is another thing than none given.
        limits = {"tenants": None if self.tenants is None else list(self.tenants), "up_to_id": self.up_to_id}
        return {name: value for name, value in given.items() if value} | {
            name: value for name, value in limits.items() if value is not None
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """What `as_json` wrote."""
        created_before, tenants = given.get("created_before"), given.get("tenants")
        return cls(
            tenant_id=given.get("tenant"),
            tenants=None if tenants is None else tuple(tenants),
            topic=given.get("topic"),
            statuses=tuple(EventStatus(status) for status in given.get("status", ())),
            error_class=given.get("error_class"),
            created_before=datetime.fromisoformat(created_before) if created_before else None,
            ids=tuple(given.get("ids", ())),
            dedupe_key=given.get("dedupe_key"),
            partition_key=given.get("partition_key"),
            up_to_id=given.get("up_to_id"),
        )


def _values(statuses: Sequence[EventStatus]) -> list[str]:
    return [status.value for status in statuses]
