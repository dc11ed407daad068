"""Lists of events for those who are limited to some tenants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import connections

from outbox import sql
from outbox.models import EventStatus
from outbox.operations.filters import EventRow, Filter

_NO_ID = {False: 0, True: 2**63 - 1}
_NO_TIME = {False: datetime.min.replace(tzinfo=UTC), True: datetime.max.replace(tzinfo=UTC)}


class OfTenants:
    """The events of one status that some tenants have, in the order of a list."""

    def __init__(self, given: Filter, status: EventStatus, *, alias: str, reverse: bool) -> None:
        self._alias = alias
        self._reverse = reverse
        self._tenants = sorted(given.tenants or (), reverse=reverse)
        topic = given.topic if status is EventStatus.FAILED else None
        self._asked = {
            "status": status.value,
            "before": given.created_before,
            "topic": topic,
            # Dead letters have an index for either, and none for both.
            "error_class": given.error_class if status is EventStatus.FAILED and topic is None else None,
        }
        statement = sql.load("events_of_tenants")
        self._statement = statement.replace(" ASC", " DESC").replace(" > ", " < ") if reverse else statement

    def read(self, after: tuple[Any, ...] | None, count: int) -> list[EventRow]:
        """The next rows after a place, at most so many."""
        tenants = [each for each in self._tenants if after is None or not self._is_behind(after[0], each)]
        begins: list[tuple[datetime, int]] = [
            (after[1], after[2]) if after is not None and each == after[0] else self._from_the_start for each in tenants
        ]
        parameters = {
            **self._asked,
            "tenants": tenants,
            "created": [created for created, _ in begins],
            "ids": [event_id for _, event_id in begins],
            "count": count,
        }
        with connections[self._alias].cursor() as cursor:
            cursor.execute(self._statement, parameters)
            return [EventRow.of(row) for row in cursor.fetchall()]

    @property
    def _from_the_start(self) -> tuple[datetime, int]:
        return _NO_TIME[self._reverse], _NO_ID[self._reverse]

    def _is_behind(self, place: str, tenant: str) -> bool:
        """Whether the list has come past the tenant."""
        return place < tenant if self._reverse else place > tenant
