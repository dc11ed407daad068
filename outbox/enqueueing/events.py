"""What crosses the application's door, in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to be enqueued. The fields are the arguments of `enqueue`, where they are explained."""

    topic: str
    payload: Any
    tenant_id: str | None = None
    partition_key: str = ""
    dedupe_key: str | None = None
    headers: Mapping[str, str] | None = None
    available_at: datetime | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueResult:
    """The event that now stands in the outbox, which is an earlier one when `created` is false."""

    event_id: int
    created: bool
    tenant_id: str
    dedupe_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueManyResult:
    """How many of the events were written, and how many stood there already or came twice."""

    created: int
    duplicates: int
