from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Message

from outbox.enqueueing import headers as enqueued
from outbox.kafka import message

CREATED = datetime(2026, 5, 4, 3, 2, 1, 123_456, tzinfo=UTC)
CREATED_US = round((CREATED - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)


def received(headers: Any) -> Message:
    return Message(topic="orders", partition=3, offset=42, key=b"acme:17", value=b'{"total": 5}', headers=headers)


def as_received(headers: list[tuple[str, str]]) -> Message:
    """Kafka carries bytes, whatever was given to it."""
    return received([(name, value.encode()) for name, value in headers])


def event_headers(*, attempts: int = 0) -> list[tuple[str, str]]:
    constants = message.constant_headers("acme")
    return message.event_headers(constants, "order-17-created", 1_234, CREATED_US, attempts)


def test_the_headers_have_the_agreed_names_and_values() -> None:
    assert event_headers() == [
        ("tenant-id", "acme"),
        ("dedupe-key", "order-17-created"),
        ("event-id", "1234"),
        ("event-created-at", "1777863721123456"),
        ("attempt", "1"),
        ("content-type", "application/json"),
    ]


@pytest.mark.parametrize("failed", [1, 31, 32, 10_000])
def test_the_attempt_counts_from_one(failed: int) -> None:
    assert ("attempt", str(failed + 1)) in event_headers(attempts=failed)


def test_an_application_cannot_use_our_header_names() -> None:
    assert message.OWN_HEADERS == enqueued.RESERVED


def test_events_of_a_partition_key_share_a_message_key() -> None:
    assert message.message_key("acme", "17", "created") == message.message_key("acme", "17", "paid")


def test_an_event_without_partition_key_has_a_message_key_of_its_own() -> None:
    assert message.message_key("acme", "", "created") == "acme:created"


def test_what_is_written_is_what_is_read() -> None:
    headers = [*event_headers(attempts=2), ("source", "shop"), ("traceparent", "00-a-b-01"), ("replay", "7")]
    assert message.parse_message(as_received(headers)) == message.ReceivedEvent(
        tenant_id="acme",
        dedupe_key="order-17-created",
        event_id=1_234,
        created_at=CREATED,
        attempt=3,
        key="acme:17",
        payload=b'{"total": 5}',
        topic="orders",
        partition=3,
        offset=42,
        traceparent="00-a-b-01",
        replay="7",
        headers={"source": "shop"},
    )


def test_trace_and_replay_may_be_missing() -> None:
    event = message.parse_message(as_received(event_headers()))
    assert (event.traceparent, event.replay, event.headers) == (None, None, {})


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [("tenant-id", b"acme")],
        [(name, b"\xff" if name == "event-id" else value.encode()) for name, value in event_headers()],
        [(name, b"soon" if name == "event-id" else value.encode()) for name, value in event_headers()],
    ],
    ids=["none", "some", "not text", "not a number"],
)
def test_a_message_of_another_origin_is_refused(headers: Any) -> None:
    with pytest.raises(message.NotAnEvent, match=r"orders\[3\]@42 was not written by the outbox"):
        message.parse_message(received(headers))
