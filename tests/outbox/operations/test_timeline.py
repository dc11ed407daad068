"""What has happened to one event, in its order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox.models import EventStatus, OutboxAttempt, OutboxEvent
from outbox.operations import audit, contents, discard, replay
from outbox.operations.filters import Filter
from outbox.operations.show import failed_attempts
from outbox.operations.timeline import Moment, by_operators, timeline
from tests.outbox.operations.rows import ANN, BEGAN, event, failed

pytestmark = pytest.mark.django_db


def done(row: OutboxEvent, *, tenants: set[str] | None = None) -> tuple[Moment, ...]:
    return by_operators(
        event_id=row.pk, tenant_id=row.tenant_id, since=row.created_at, tenants=tenants, using="default"
    )


def moments(row: OutboxEvent, **more: Any) -> list[str]:
    attempts = failed_attempts(row.pk, using="default")
    return [each.what for each in timeline(row, failed_attempts=attempts, by_operators=done(row), **more)]


def test_an_event_that_was_sent_has_its_receipt() -> None:
    row = event(status=EventStatus.SENT, sent_at=BEGAN + timedelta(seconds=1), kafka_partition=3, kafka_offset=17_000)
    enqueued, sent = timeline(row, failed_attempts=(), by_operators=())
    assert (enqueued.what, enqueued.at) == ("enqueued", row.created_at)
    assert (sent.what, sent.about) == ("sent", "Partition 3, offset 17,000.")


def test_a_scheduled_event_says_when_it_is_due() -> None:
    row = event(status=EventStatus.SCHEDULED)
    assert [each.at for each in timeline(row, failed_attempts=(), by_operators=())] == [BEGAN, row.available_at]


def test_the_last_failed_attempt_of_a_dead_letter_is_its_end() -> None:
    row = failed()
    for _ in range(2):
        OutboxAttempt.objects.create(event=row, relay_id=uuid4(), error_class="topic", code=3, message="Unknown topic")
    assert moments(row) == ["enqueued", "attempt failed", "dead letter"]


def test_what_operators_did_stands_there_with_who_and_why() -> None:
    row, other = failed(), failed(1)
    replay.replay(Filter(ids=(row.pk,)), by=ANN, reason="the topic is there")
    discard.discard(Filter(ids=(row.pk,)), by=ANN, reason="not wanted")
    contents.reveal(event_id=row.pk, by=ANN, reason="ticket 17", using="default")
    row.refresh_from_db()
    assert moments(row, replays="1") == ["enqueued", "replayed", "discarded", "revealed"]
    assert [(each.who, each.about) for each in done(row)] == [
        ("ann", "ticket 17"),
        ("ann", "not wanted"),
        ("ann", "the topic is there"),
    ]
    assert done(other) == ()


def test_actions_about_other_tenants_as_well_are_not_told_to_staff_who_are_limited() -> None:
    row = failed()
    replay.replay(Filter(ids=(row.pk, failed(tenant_id="zeta").pk)), by=ANN, reason="both")
    assert len(done(row)) == 1
    assert done(row, tenants={"acme"}) == ()
    assert len(done(row, tenants={"acme", "zeta"})) == 1


def test_what_is_known_from_the_row_alone_is_told_too() -> None:
    row = event(status=EventStatus.DISCARDED, discarded_at=BEGAN + timedelta(hours=1), headers={"replay": "2"})
    assert moments(row, replays="2") == ["enqueued", "replayed", "discarded"]


def test_actions_are_found_by_an_index_and_only_the_last_of_the_tenant_are_looked_through() -> None:
    row = failed()
    for number in range(30):
        audit.record(by=ANN, verb="replay", using="default", tenants=[f"t{number}"], before={"failed": [row.pk]})
    with CaptureQueriesContext(connection) as queries:
        assert done(row) == ()
    (asked,) = queries
    assert "LIMIT 500" in asked["sql"]
