"""One event with all that is known of it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from outbox.models import OutboxAttempt
from outbox.operations.filters import Filter
from outbox.operations.show import show
from tests.outbox.operations.rows import event, failed

pytestmark = pytest.mark.django_db


def test_an_event_comes_with_its_attempts_headers_and_payload() -> None:
    row = failed(headers={"source": "shop"}, payload={"n": 1})
    relay = uuid4()
    for code in (3, 10):
        OutboxAttempt.objects.create(event=row, relay_id=relay, error_class="topic", code=code, message=f"no {code}")
    found = show(Filter(ids=(row.pk,)))
    assert found is not None
    assert (found.event.event_id, found.last_error, found.headers, found.payload) == (
        row.pk,
        "Unknown topic",
        {"source": "shop"},
        {"n": 1},
    )
    assert [(each.code, each.message, each.relay_id) for each in found.failed_attempts] == [
        (10, "no 10", str(relay)),
        (3, "no 3", str(relay)),
    ]


def test_a_sent_event_comes_with_its_receipt() -> None:
    row = event(status="sent", kafka_partition=2, kafka_offset=17)
    found = show(Filter(tenant_id="acme", dedupe_key=row.dedupe_key))
    assert found is not None
    assert (found.kafka_partition, found.kafka_offset, found.failed_attempts) == (2, 17, ())


def test_an_event_that_is_not_there() -> None:
    assert show(Filter(ids=(1,))) is None
