"""One event: what is written, when, and what the call costs the transaction."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import TextChoices
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from opentelemetry import trace

from outbox.api import EnqueueResult, enqueue
from outbox.errors import InvalidEvent, NotInTransaction
from outbox.models import EventStatus, OutboxEvent

pytestmark = pytest.mark.django_db

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ANOTHER_PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def enqueue_order(**changes: Any) -> EnqueueResult:
    return enqueue(**{"topic": "orders", "payload": {"id": 17}, **changes})


def test_every_argument_is_stored() -> None:
    result = enqueue_order(
        tenant_id="acme", partition_key="17", dedupe_key="order-17-created", headers={"source": "shop"}
    )

    assert result == EnqueueResult(
        event_id=result.event_id, created=True, tenant_id="acme", dedupe_key="order-17-created"
    )
    event = OutboxEvent.objects.get(pk=result.event_id)
    assert (event.topic, event.payload, event.tenant_id, event.partition_key, event.dedupe_key, event.headers) == (
        "orders",
        {"id": 17},
        "acme",
        "17",
        "order-17-created",
        {"source": "shop"},
    )
    assert (event.status, event.attempts, event.available_at, event.sent_at) == (EventStatus.PENDING, 0, None, None)


def test_a_missing_tenant_is_stored_as_default_and_not_as_null() -> None:
    result = enqueue_order(tenant_id=None)
    assert result.tenant_id == "default"
    assert OutboxEvent.objects.get().tenant_id == "default"


def test_generated_dedupe_keys_are_uuids_of_version_7_and_grow() -> None:
    keys = [enqueue_order().dedupe_key for _ in range(20)]
    assert keys == sorted(set(keys))
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", key) for key in keys
    )


def test_one_statement_writes_the_event() -> None:
    with CaptureQueriesContext(connection) as queries:
        enqueue_order()
    assert len(queries) == 1


@pytest.mark.parametrize(
    "payload",
    [
        {},
        [],
        None,
        True,
        0,
        -1.5,
        "text",
        {"a": [1, {"b": ("tuple", None)}]},
        {"ключ": "значение 🎉"},
        "\\u0000",
        "\x7f",
    ],
)
def test_whatever_json_can_say_comes_back_as_it_was(payload: Any) -> None:
    enqueue_order(payload=payload)
    stored = OutboxEvent.objects.get().payload
    assert stored == ({"a": [1, {"b": ["tuple", None]}]} if isinstance(payload, dict) and "a" in payload else payload)


def test_members_of_enumerations_are_stored_by_value() -> None:
    class Topic(StrEnum):
        ORDERS = "orders.v1"

    class Tenant(TextChoices):
        ACME = "acme", "Acme Inc."

    result = enqueue_order(topic=Topic.ORDERS, tenant_id=Tenant.ACME, payload={"topic": Topic.ORDERS})
    event = OutboxEvent.objects.get()
    assert (event.topic, event.tenant_id, event.payload) == ("orders.v1", "acme", {"topic": "orders.v1"})
    assert type(result.tenant_id) is str


@pytest.mark.parametrize(
    "key", ["tab\there", "line\nbreak", "back\\slash", "%s", "quote'\"", "ключ", "x" * 255, "ü" * 255]
)
def test_keys_may_hold_any_text(key: str) -> None:
    enqueue_order(partition_key=key, dedupe_key=key)
    event = OutboxEvent.objects.get()
    assert (event.partition_key, event.dedupe_key) == (key, key)


def test_a_future_event_is_scheduled() -> None:
    due = timezone.now() + timedelta(hours=1)
    enqueue_order(available_at=due)
    event = OutboxEvent.objects.get()
    assert (event.status, event.available_at) == (EventStatus.SCHEDULED, due)


def test_an_event_that_is_due_already_is_pending() -> None:
    enqueue_order(available_at=datetime(2020, 1, 1, tzinfo=UTC))
    event = OutboxEvent.objects.get()
    assert (event.status, event.available_at) == (EventStatus.PENDING, None)


def test_the_databases_clock_decides_what_is_due_and_not_the_hosts() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp() + interval '1 minute'")
        (soon,) = cursor.fetchone() or (None,)
    enqueue_order(available_at=soon)
    assert OutboxEvent.objects.get().status == EventStatus.SCHEDULED


def test_created_at_is_the_databases_clock_and_grows_within_a_transaction() -> None:
    for _ in range(3):
        enqueue_order()
    times = list(OutboxEvent.objects.order_by("id").values_list("created_at", flat=True))
    assert times == sorted(set(times))


def test_a_rolled_back_transaction_leaves_no_event() -> None:
    with pytest.raises(RuntimeError, match="no sale"), transaction.atomic():
        enqueue_order()
        raise RuntimeError("no sale")
    assert not OutboxEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_it_refuses() -> None:
    with pytest.raises(NotInTransaction, match=r"transaction\.atomic\(\)"):
        enqueue_order()
    assert not OutboxEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_the_event_commits_alone_if_asked_for() -> None:
    result = enqueue_order(autocommit=True, dedupe_key="alone")
    assert connection.in_atomic_block is False
    assert enqueue_order(autocommit=True, dedupe_key="alone").event_id == result.event_id
    assert OutboxEvent.objects.get().pk == result.event_id


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_the_application_commits_by_hand_counts() -> None:
    transaction.set_autocommit(False)
    try:
        enqueue_order()
        transaction.rollback()
        enqueue_order(dedupe_key="kept")
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert OutboxEvent.objects.get().dedupe_key == "kept"


def test_traceparent_is_stored_as_a_header() -> None:
    enqueue_order(traceparent=PARENT, headers={"source": "shop"})
    assert OutboxEvent.objects.get().headers == {"source": "shop", "traceparent": PARENT}


def test_traceparent_may_stand_in_the_headers() -> None:
    enqueue_order(headers={"traceparent": PARENT})
    assert OutboxEvent.objects.get().headers == {"traceparent": PARENT}


def active_span() -> Any:
    context = trace.SpanContext(
        trace_id=0x4BF92F3577B34DA6A3CE929D0E0E4736,
        span_id=0x00F067AA0BA902B7,
        is_remote=False,
        trace_flags=trace.TraceFlags(0),
    )
    return trace.use_span(trace.NonRecordingSpan(context))


def test_the_active_opentelemetry_span_is_captured() -> None:
    with active_span():
        enqueue_order()
    assert OutboxEvent.objects.get().headers == {"traceparent": ANOTHER_PARENT}


def test_a_given_traceparent_comes_before_the_active_span() -> None:
    with active_span():
        enqueue_order(traceparent=PARENT)
    assert OutboxEvent.objects.get().headers == {"traceparent": PARENT}


def test_without_a_span_there_is_no_traceparent() -> None:
    enqueue_order()
    assert OutboxEvent.objects.get().headers == {}


def test_on_duplicate_takes_two_values() -> None:
    with pytest.raises(ValueError, match="on_duplicate='ignore'"):
        enqueue_order(on_duplicate="ignore")


def test_a_refused_event_leaves_the_transaction_usable() -> None:
    with pytest.raises(InvalidEvent):
        enqueue_order(topic="no topic")
    enqueue_order()
    assert OutboxEvent.objects.count() == 1
