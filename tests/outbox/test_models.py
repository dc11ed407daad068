"""What the database itself refuses and fills in, whoever writes to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models import Model

from outbox.api import enqueue
from outbox.models import EventStatus, OutboxAttempt, OutboxEvent, OutboxLane, OutboxRelay, TenantPolicy
from outbox.models.functions import ClockTimestamp

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(**changes: Any) -> OutboxEvent:
    return OutboxEvent.objects.create(**{"topic": "orders", "payload": {}, "dedupe_key": uuid4().hex, **changes})


def refused(model: type[Model], **fields: Any) -> str:
    """Name of the constraint that refuses the row."""
    with pytest.raises(IntegrityError) as raised, transaction.atomic():
        model._default_manager.create(**fields)
    assert isinstance(raised.value.__cause__, psycopg.Error)
    return raised.value.__cause__.diag.constraint_name or ""


def test_only_the_essentials_need_to_be_written() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO outbox_events (topic, dedupe_key, payload) VALUES ('orders', 'a', '{\"ü\": 1}')")
    row = OutboxEvent.objects.get()
    assert (row.tenant_id, row.status, row.attempts, row.headers, row.partition_key, row.last_error) == (
        "default",
        EventStatus.PENDING,
        0,
        {},
        "",
        "",
    )
    assert row.payload_bytes == len('{"ü": 1}'.encode())
    assert OutboxEvent.objects.filter(created_at__lte=ClockTimestamp()).exists()


def test_created_at_is_taken_at_each_row_and_not_at_the_transaction() -> None:
    times = [event().created_at for _ in range(5)]
    bulk = OutboxEvent.objects.bulk_create(
        OutboxEvent(topic="orders", payload={}, dedupe_key=f"bulk-{n}") for n in range(5)
    )
    times += [row.created_at for row in bulk]
    assert times == sorted(set(times))


def test_a_dedupe_key_is_taken_once_in_a_tenant() -> None:
    event(dedupe_key="a", tenant_id="acme")
    event(dedupe_key="a", tenant_id="globex")
    assert refused(OutboxEvent, topic="t", payload={}, dedupe_key="a", tenant_id="acme") == "uq_outbox_tenant_dedupe"


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"status": "lost"}, "ck_outbox_status"),
        ({"tenant_id": ""}, "ck_outbox_tenant"),
        ({"tenant_id": "*"}, "ck_outbox_tenant"),
        ({"tenant_id": "_other"}, "ck_outbox_tenant"),
        ({"tenant_id": "a:b"}, "ck_outbox_tenant"),
        ({"tenant_id": "a\n"}, "ck_outbox_tenant"),
        ({"topic": ""}, "ck_outbox_topic"),
        ({"topic": "a b"}, "ck_outbox_topic"),
        ({"topic": "a\n"}, "ck_outbox_topic"),
        ({"attempts": -1}, "ck_outbox_attempts"),
        ({"status": "scheduled"}, "ck_outbox_scheduled_has_time"),
    ],
)
def test_events_that_no_code_may_write(changes: dict[str, Any], constraint: str) -> None:
    assert refused(OutboxEvent, **{"topic": "orders", "payload": {}, "dedupe_key": "a", **changes}) == constraint


@pytest.mark.parametrize(
    ("field", "length"), [("tenant_id", 64), ("topic", 249), ("partition_key", 255), ("dedupe_key", 255)]
)
def test_names_and_keys_have_a_length(field: str, length: int) -> None:
    event(**{field: "a" * length})
    with pytest.raises(DataError), transaction.atomic():
        event(**{field: "a" * (length + 1)})


@pytest.mark.parametrize("field", ["tenant_id", "topic", "partition_key", "dedupe_key", "payload", "headers"])
def test_nothing_of_an_event_is_null(field: str) -> None:
    row = event()
    with pytest.raises(IntegrityError, match="null value"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f'UPDATE outbox_events SET "{field}" = NULL WHERE id = %s', [row.pk])  # noqa: S608


def test_the_querysets_words() -> None:
    rows = {status: event(status=status, available_at=NOW, tenant_id=status.value) for status in EventStatus}
    assert OutboxEvent.objects.pending().get() == rows[EventStatus.PENDING]
    assert OutboxEvent.objects.failed().get() == rows[EventStatus.FAILED]
    assert OutboxEvent.objects.of_tenant("sent").get() == rows[EventStatus.SENT]
    later, sooner = (
        event(created_at=datetime(2021, 1, 1, tzinfo=UTC)),
        event(created_at=datetime(2020, 1, 1, tzinfo=UTC)),
    )
    assert list(OutboxEvent.objects.oldest_first()[:2]) == [sooner, later]


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"tenant_id": "*"}, "ck_outbox_lane_tenant"),
        ({"owner": uuid4()}, "ck_outbox_lane_lease"),
        ({"leased_until": NOW}, "ck_outbox_lane_lease"),
    ],
)
def test_lanes_that_no_code_may_write(changes: dict[str, Any], constraint: str) -> None:
    assert refused(OutboxLane, **{"tenant_id": "acme", **changes}) == constraint


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"tenant_id": "a b"}, "ck_outbox_policy_tenant"),
        ({"weight": 0}, "ck_outbox_policy_weight"),
        ({"weight": float("inf")}, "ck_outbox_policy_weight"),
        ({"weight": float("nan")}, "ck_outbox_policy_weight"),
        ({"rate": 0}, "ck_outbox_policy_rate"),
        ({"rate": float("nan")}, "ck_outbox_policy_rate"),
        ({"batch_quota": 0}, "ck_outbox_policy_quota"),
        ({"backlog_limit": 0}, "ck_outbox_policy_backlog"),
        ({"retention_days": 0}, "ck_outbox_policy_retention"),
    ],
)
def test_policies_that_no_code_may_write(changes: dict[str, Any], constraint: str) -> None:
    assert refused(TenantPolicy, **{"tenant_id": "acme", **changes}) == constraint


def test_a_policy_for_everyone_exists() -> None:
    TenantPolicy.objects.create(tenant_id="*", paused=True)


def test_attempts_go_with_their_event_and_come_in_order() -> None:
    row = event()
    attempts = [
        OutboxAttempt.objects.create(event=row, relay_id=uuid4(), error_class="topic", code=3, message="unknown")
        for _ in range(3)
    ]
    assert list(row.failed_attempts.all()) == attempts
    row.delete()
    assert not OutboxAttempt.objects.exists()


def test_rows_say_what_they_are() -> None:
    row = event(tenant_id="acme")
    attempt = OutboxAttempt(event=row, relay_id=uuid4(), error_class="topic", code=3, message="unknown")
    assert str(row) == f"acme orders #{row.pk} (pending)"
    assert str(attempt) == f"event {row.pk}: topic"
    assert str(OutboxLane(tenant_id="acme")) == "acme"
    assert str(TenantPolicy(tenant_id="acme")) == "acme"
    assert str(OutboxRelay(host="host", pid=17)) == "host:17"


def test_the_api_and_the_models_agree_on_names() -> None:
    """What the API accepts, the model's own validation accepts, and the other way round for lengths."""
    result = enqueue(
        topic="a" * 249, payload={"a": 1}, tenant_id="a" * 64, partition_key="ü" * 255, dedupe_key="ü" * 255
    )
    OutboxEvent.objects.get(pk=result.event_id).full_clean()
    with pytest.raises(ValidationError):
        OutboxEvent(topic="a b", payload={}, dedupe_key="a").full_clean()
