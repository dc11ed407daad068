"""The size of an event is that of the message which a relay makes of it."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.enqueueing import headers
from outbox.enqueueing.events import NewEvent
from outbox.enqueueing.validation import Row, validate
from outbox.errors import InvalidEvent
from outbox.kafka import message

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
TAKEN = headers.RESERVED | {headers.TRACEPARENT}
names = texts.filter(lambda name: name and name.isprintable() and name.lower() not in TAKEN)


def test_the_reserved_headers_are_those_that_relays_write() -> None:
    assert headers.RESERVED == message.OWN_HEADERS


def largest_message(row: Row, given_headers: dict[str, str]) -> int:
    """Bytes of key, headers and payload, with the longest values that relays can write."""
    own = message.event_headers(
        message.constant_headers(row.tenant_id), row.dedupe_key, 2**63 - 1, 10**17, attempts=2**31 - 1
    )
    sent = [*own, *given_headers.items(), (message.REPLAY, str(uuid.uuid4()))]
    key = message.message_key(row.tenant_id, row.partition_key, row.dedupe_key)
    return len(key.encode()) + len(row.payload.encode()) + sum(len((n + v).encode()) for n, v in sent)


@given(texts, texts.filter(bool), st.dictionaries(names, texts, max_size=5), texts)
def test_no_message_exceeds_the_limit(
    partition_key: str, dedupe_key: str, given_headers: dict[str, str], payload: str
) -> None:
    event = NewEvent(
        topic="orders",
        payload=payload,
        tenant_id="acme",
        partition_key=partition_key,
        dedupe_key=dedupe_key,
        headers=given_headers,
    )
    row = validate(event, max_message_bytes=1_000_000, current_trace=None)
    size = largest_message(row, given_headers)
    with pytest.raises(InvalidEvent):
        validate(event, max_message_bytes=size - 1, current_trace=None)
    assert validate(event, max_message_bytes=size + 200, current_trace=None) == row
