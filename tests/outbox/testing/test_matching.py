"""What counts as the expected event, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from outbox.testing.matching import ANY, EnqueuedEvent, Expected, shortened


def _event(payload: Any = None, **given: Any) -> EnqueuedEvent:
    row: dict[str, Any] = {
        "event_id": 1,
        "topic": "orders",
        "tenant_id": "acme",
        "partition_key": "7",
        "dedupe_key": "order-7",
        "payload": payload,
        "headers": {"source": "shop", "version": "2"},
        "status": "pending",
        "available_at": None,
    }
    return EnqueuedEvent(**{**row, **given})


_PAYLOAD = {"id": 7, "lines": [{"product": "lamp", "price": 9.5}, {"product": "bulb", "price": 1}], "gift": True}


@pytest.mark.parametrize(
    "wanted",
    [
        ANY,
        _PAYLOAD,
        {},
        {"id": 7},
        {"id": 7.0},
        {"gift": True},
        {"id": ANY, "lines": ANY},
        {"lines": [{"product": "lamp"}, {}]},
        {"lines": ({"product": "lamp"}, {"price": 1})},
        {"lines": [{"price": pytest.approx(9.5)}, ANY]},
    ],
)
def test_payloads_match_by_subset_at_any_depth(wanted: Any) -> None:
    assert Expected(payload=wanted).differences(_event(_PAYLOAD)) == []


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        ({"id": 8}, "payload['id'] is 7, wanted 8"),
        ({"state": None}, "payload['state'] is not there, wanted None"),
        ({"gift": 1}, "payload['gift'] is True, wanted 1"),
        ({"id": {"number": 7}}, "payload['id'] is 7, wanted {'number': 7}"),
        ({"lines": []}, "payload['lines'] has 2 elements, wanted 0"),
        (
            {"lines": [{"product": "lamp"}, {"product": "shade"}]},
            "payload['lines'][1]['product'] is 'bulb', wanted 'shade'",
        ),
    ],
)
def test_a_difference_names_its_place(wanted: Any, difference: str) -> None:
    assert Expected(payload=wanted).differences(_event(_PAYLOAD)) == [difference]


def test_a_null_payload_is_wanted_as_such() -> None:
    assert Expected(payload=None).differences(_event(None)) == []
    assert Expected(payload=None).differences(_event({})) == ["payload is {}, wanted None"]


def test_headers_match_by_subset() -> None:
    assert Expected(headers={"version": "2"}).differences(_event()) == []
    assert Expected(headers={"version": "3"}).differences(_event()) == ["headers['version'] is '2', wanted '3'"]


def test_everything_else_is_equal_or_does_not_matter() -> None:
    expected = Expected(topic="orders", tenant_id="acme", partition_key="7", dedupe_key="order-7")
    assert expected.differences(_event()) == []
    assert expected.differences(_event(topic="order", dedupe_key="order-8")) == [
        "topic is 'order', wanted 'orders'",
        "dedupe_key is 'order-8', wanted 'order-7'",
    ]
    assert Expected().differences(_event()) == []


def test_an_event_is_nearer_with_fewer_fields_wrong_and_then_with_fewer_places() -> None:
    expected = Expected(topic="orders", payload={"a": 1, "b": 2})
    near, nearer = _event({"a": 0, "b": 0}), _event({"a": 1, "b": 0})
    far = _event({"a": 1, "b": 0}, topic="stock")
    assert sorted([far, near, nearer], key=expected.distance) == [nearer, near, far]


def test_what_is_wanted_reads_like_the_call() -> None:
    assert str(Expected(topic="orders", payload={"id": 1})) == "topic='orders', payload={'id': 1}"
    assert str(Expected()) == "anything"


def test_a_long_value_is_shortened() -> None:
    assert shortened("x" * 1_000) == "'" + "x" * 199 + "… (1002 characters)"
