from __future__ import annotations

from datetime import UTC, datetime

import pytest

from outbox.kafka.message import ReceivedEvent
from somabrain.demo.comparison import Comparison, compare


def received(event_id: int, *, key: str = "acme:order-1", topic: str = "orders") -> ReceivedEvent:
    return ReceivedEvent(
        tenant_id="acme",
        dedupe_key=f"event-{event_id}",
        event_id=event_id,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        attempt=1,
        key=key,
        payload=b"{}",
        topic=topic,
        partition=0,
        offset=event_id,
    )


def wrong(*, missing: int = 0, duplicates: int = 0, order_inversions: int = 0, unknown: int = 0) -> Comparison:
    return Comparison(missing=missing, duplicates=duplicates, order_inversions=order_inversions, unknown=unknown)


def test_everything_once_and_in_order_holds() -> None:
    comparison = compare([11, 12, 13], [received(11), received(12), received(13)])
    assert comparison == wrong()
    assert comparison.holds


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [
        ([11, 13], wrong(missing=1)),
        ([11, 12, 12, 13], wrong(duplicates=1)),
        ([12, 11, 13], wrong(order_inversions=1)),
        ([13, 11, 12], wrong(order_inversions=2)),
        ([11, 12, 13, 14], wrong(unknown=1)),
    ],
)
def test_what_is_wrong_is_counted(arrived: list[int], expected: Comparison) -> None:
    comparison = compare([11, 12, 13], [received(event_id) for event_id in arrived])
    assert comparison == expected
    assert not comparison.holds


def test_a_repetition_out_of_order_is_a_duplicate_and_no_inversion() -> None:
    assert compare([11, 12], [received(11), received(12), received(11)]) == wrong(duplicates=1)


def test_order_is_that_of_commits_and_not_of_ids() -> None:
    assert compare([12, 11], [received(12), received(11)]).holds


@pytest.mark.parametrize("other", [{"key": "acme:order-2"}, {"topic": "invoices"}])
def test_there_is_no_order_between_keys_or_topics(other: dict[str, str]) -> None:
    assert compare([11, 12], [received(12), received(11, **other)]).holds
