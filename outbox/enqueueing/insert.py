"""One event, one INSERT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from outbox import sql
from outbox.enqueueing.validation import Row
from outbox.errors import DuplicateEvent, DuplicateInFlight
from outbox.models import EventStatus

OnDuplicate = Literal["return", "error"]

# The event in the way may be pruned between the two statements, and then there is room for the new one.
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Inserted:
    event_id: int
    created: bool
    due: bool


def insert(connection: BaseDatabaseWrapper, row: Row, *, on_duplicate: OnDuplicate) -> Inserted:
    """Write an event, or find the one that has its key already.

    Raises `DuplicateEvent` when told so, and `DuplicateInFlight` when the event with the key cannot be seen.
    """
    values = row._asdict()
    with connection.cursor() as cursor:
        for _ in range(_TRIES):
            if written := _insert(cursor, row, values):
                event_id, status = written
                return Inserted(event_id=event_id, created=True, due=status == EventStatus.PENDING)
            cursor.execute(sql.load("enqueued_before"), values)
            if before := cursor.fetchone():
                event_id, payload_differs = before
                if on_duplicate == "error":
                    raise DuplicateEvent(row.tenant_id, row.dedupe_key, event_id, payload_differs)
                return Inserted(event_id=event_id, created=False, due=False)
    raise DuplicateInFlight(row.tenant_id, row.dedupe_key)


def is_hidden_duplicate(error: BaseException) -> bool:
    """Whether an INSERT failed because of a row that its transaction's snapshot does not show.

    Other serialization failures have the same code and nothing to do with duplicates.
    """
    cause = error.__cause__
    return (
        isinstance(cause, psycopg.errors.SerializationFailure) and cause.diag.source_function == "ExecCheckTupleVisible"
    )


def _insert(cursor: Any, row: Row, values: dict[str, Any]) -> tuple[int, str] | None:
    try:
        cursor.execute(sql.load("enqueue"), values)
    except OperationalError as error:
        if is_hidden_duplicate(error):
            raise DuplicateInFlight(row.tenant_id, row.dedupe_key) from error
        raise
    found: tuple[int, str] | None = cursor.fetchone()
    return found
