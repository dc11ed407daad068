"""What is refused before a row is written, by one event and by many, and what the refusal says."""

from __future__ import annotations

import decimal
import enum
import pickle
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from outbox.api import NewEvent, enqueue, enqueue_many
from outbox.errors import DuplicateEvent, DuplicateInFlight, InvalidEvent, NotInTransaction
from outbox.models import OutboxEvent

pytestmark = pytest.mark.django_db

Enqueue = Callable[..., object]
TRACE = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def one(**fields: Any) -> None:
    enqueue(**fields)


def one_of_many(**fields: Any) -> None:
    enqueue_many([NewEvent(topic="orders", payload={}), NewEvent(**fields)])


@pytest.fixture(params=[one, one_of_many])
def write(request: pytest.FixtureRequest) -> Enqueue:
    chosen: Enqueue = request.param
    return chosen


def refusal(write: Enqueue, **fields: Any) -> InvalidEvent:
    """The error, having seen that nothing was written and that the transaction goes on."""
    with pytest.raises(InvalidEvent) as raised:
        write(**{"topic": "orders", "payload": {}, **fields})
    assert not OutboxEvent.objects.exists()
    return raised.value


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def cycle() -> Any:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


def explosion() -> Any:
    """Few objects that take 2**90 bytes as JSON."""
    value: Any = []
    for _ in range(90):
        value = [value, value]
    return value


class Thing:
    def __repr__(self) -> str:
        return "Thing(password='hunter2')"


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    "topic", ["", "a b", "a/b", "тема", "a\n", ".", "..", "a" * 250, "a:b", "orders\0", "\ud800", None, 7, b"orders"]
)
def test_topics_against_kafkas_rule(write: Enqueue, topic: Any) -> None:
    assert refusal(write, topic=topic).field.endswith("topic")


@pytest.mark.parametrize("topic", ["a", "a" * 249, "A.b_c-9", "...", "-", "_"])
def test_topics_that_kafka_takes(topic: str) -> None:
    enqueue(topic=topic, payload={})


@pytest.mark.parametrize(
    "tenant_id", ["", "*", "_other", "-a", ".a", "a:b", "a b", "a\n", "ä", "a" * 65, "a\0", "\udfff", 7, b"acme"]
)
def test_tenants_that_cannot_be_named(write: Enqueue, tenant_id: Any) -> None:
    assert refusal(write, tenant_id=tenant_id).field.endswith("tenant_id")


@pytest.mark.parametrize("tenant_id", ["a", "9", "A.b_c-9", "a" * 64])
def test_tenants_that_can(tenant_id: str) -> None:
    enqueue(topic="orders", payload={}, tenant_id=tenant_id)


@pytest.mark.parametrize("field", ["partition_key", "dedupe_key"])
@pytest.mark.parametrize("key", ["a" * 256, "a\0b", "\ud83d", "\ude00\ud83d", 17, b"17", ["a"]])
def test_keys_that_cannot_be_stored(write: Enqueue, field: str, key: Any) -> None:
    assert refusal(write, **{field: key}).field.endswith(field)


def test_an_empty_dedupe_key_and_no_partition_key(write: Enqueue) -> None:
    assert refusal(write, dedupe_key="").field.endswith("dedupe_key")
    assert refusal(write, partition_key=None).field.endswith("partition_key")


@pytest.mark.parametrize(
    "headers",
    [
        [("a", "b")],
        "a=b",
        {"a": 1},
        {"a": None},
        {"a": b"b"},
        {1: "b"},
        {"": "b"},
        {"a" * 256: "b"},
        {"a\0": "b"},
        {"a\n": "b"},
        {"\ud800": "b"},
        {"a": "b\0"},
        {"a": "\ud800"},
    ],
)
def test_headers_that_are_not_text_to_text(write: Enqueue, headers: Any) -> None:
    assert "headers" in refusal(write, headers=headers).field


@pytest.mark.parametrize(
    "name",
    ["tenant-id", "dedupe-key", "event-id", "event-created-at", "attempt", "content-type", "replay", "Tenant-Id"],
)
def test_header_names_that_relays_write_themselves(write: Enqueue, name: str) -> None:
    assert "relays write this header themselves" in refusal(write, headers={name: "x"}).reason


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        f"00-{TRACE}-extra",
        f"ff-{TRACE}",
        f"0-{TRACE}",
        f"00-{TRACE}".upper(),
        f"00-{TRACE}\n",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        f"00-{TRACE} ",
        7,
    ],
)
def test_what_is_no_w3c_traceparent(write: Enqueue, traceparent: Any) -> None:
    assert refusal(write, traceparent=traceparent).field.endswith("traceparent")
    if isinstance(traceparent, str):
        assert refusal(write, headers={"traceparent": traceparent}).field.endswith("traceparent")


@pytest.mark.parametrize("traceparent", [f"00-{TRACE}", f"01-{TRACE}", f"cc-{TRACE}-what-the-future-brings"])
def test_traceparents_of_this_and_later_versions(traceparent: str) -> None:
    enqueue(topic="orders", payload={}, traceparent=traceparent, headers={"traceparent": traceparent})


def test_two_traces_at_once(write: Enqueue) -> None:
    other = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    assert "Pass it once" in refusal(write, traceparent=f"00-{TRACE}", headers={"traceparent": other}).way_out


def test_a_traceparent_in_capitals_would_not_be_found(write: Enqueue) -> None:
    assert refusal(write, headers={"Traceparent": f"00-{TRACE}"}).way_out == "Write traceparent"


@pytest.mark.parametrize(
    "available_at",
    [
        datetime(2030, 1, 1),
        date(2030, 1, 1),
        "2030-01-01T00:00:00Z",
        1_900_000_000,
        datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=12))),
    ],
)
def test_times_that_name_no_moment(write: Enqueue, available_at: Any) -> None:
    assert refusal(write, available_at=available_at).field.endswith("available_at")


@pytest.mark.parametrize(
    ("payload", "where", "way_out"),
    [
        ({"a": {"b": [1, decimal.Decimal("1.5")]}}, "payload.a.b[1]", "str(value)"),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC)}, "payload.at", "isoformat"),
        ({"at": date(2030, 1, 1)}, "payload.at", "isoformat"),
        ({"at": time(12)}, "payload.at", "isoformat"),
        ({"for": timedelta(1)}, "payload.for", "total_seconds"),
        ([uuid.UUID(int=7)], "payload[0]", "str(value)"),
        (b"bytes", "payload", "base64"),
        ({"a": bytearray(b"bytes")}, "payload.a", "base64"),
        ({"a": {1, 2}}, "payload.a", "list"),
        ({"a": Thing()}, "payload.a", "Send str, int, float"),
        ({"a": Colour.RED}, "payload.a", "Send str, int, float"),
        ({"a": 1j}, "payload.a", "Send str, int, float"),
        ({"a": float("nan")}, "payload.a", "None"),
        ({"a": [float("inf")]}, "payload.a[0]", "None"),
        ({"a": [[-float("inf")]]}, "payload.a[0][0]", "None"),
        ({1: "a"}, "payload", "str(key)"),
        ({"a": {None: 1}}, "payload.a", "str(key)"),
        ({"a": {True: 1}}, "payload.a", "str(key)"),
        ({"a": {b"b": 1}}, "payload.a", "str(key)"),
        ({"a": {("b", "c"): 1}}, "payload.a", "str(key)"),
        ({"a": "x\0y"}, "payload.a", "Remove"),
        ({"a": {"x\0y": 1}}, "payload.a", "Remove"),
        ("\0", "payload", "Remove"),
        ({"a": "\ud800"}, "payload.a", "Remove"),
        ({"a": "\ud83d\ude00"}, "payload.a", "Remove"),
        ({"a": {"\udfff": 1}}, "payload.a", "Remove"),
        (nested(101), "payload", "flatter"),
        (cycle(), "payload.self", "reference"),
        ([10**4300], "payload[0]", "string"),
    ],
)
def test_payloads_that_neither_json_nor_jsonb_can_say(write: Enqueue, payload: Any, where: str, way_out: str) -> None:
    error = refusal(write, payload=payload)
    assert error.field.removeprefix("events[1].").startswith(where)
    assert way_out in error.way_out


def test_a_small_object_that_takes_endless_bytes_is_not_walked_for_ever(write: Enqueue, settings: Settings) -> None:
    settings.OUTBOX_MAX_MESSAGE_BYTES = 20_000
    error = refusal(write, payload=explosion())
    assert "more values than" in error.reason
    assert len(error.field) < 300


def test_nesting_of_a_hundred_is_accepted() -> None:
    enqueue(topic="orders", payload=nested(100))
    enqueue(topic="orders", payload=[nested(98), Colour.RED.value])


def test_depth_is_found_without_recursion() -> None:
    assert "nested more than 100" in refusal(one, payload=nested(100_000)).reason


def test_a_leaf_of_a_foreign_class_below_a_hundred_containers() -> None:
    class Level(enum.IntEnum):
        LOW = 1

    deepest: Any = Level.LOW
    for _ in range(100):
        deepest = [deepest]
    enqueue(topic="orders", payload=deepest)
    assert "nested more than 100" in refusal(one_of_many_after_one, payload=[deepest]).reason


def one_of_many_after_one(**fields: Any) -> None:
    OutboxEvent.objects.all().delete()
    one_of_many(**fields)


@pytest.fixture
def endless_integers() -> Any:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.usefixtures("endless_integers")
def test_integers_beyond_numeric_are_refused_and_the_largest_is_not(write: Enqueue) -> None:
    assert "131072 digits" in refusal(write, payload={"n": 10**131_072}).reason
    assert "131072 digits" in refusal(write, payload={"n": [-(10**131_072)]}).reason
    enqueue(topic="orders", payload={"n": 10**131_072 - 1, "text": "9" * 140_000})


def test_the_number_of_the_event_is_told() -> None:
    events = [NewEvent(topic="orders", payload={}) for _ in range(205)]
    events.insert(203, NewEvent(topic="orders", payload={"price": float("nan")}))
    with pytest.raises(InvalidEvent) as raised:
        enqueue_many(events)
    assert raised.value.field == "events[203].payload.price"


def test_only_new_events_are_taken() -> None:
    with pytest.raises(InvalidEvent, match=r"events\[0\].*NewEvent"):
        enqueue_many([{"topic": "orders"}])  # type: ignore[list-item]


def test_the_message_names_field_value_reason_and_way_out() -> None:
    assert str(refusal(one, topic="no topic")) == (
        "topic='no topic': Kafka names a topic by 1 to 249 of A-Z a-z 0-9 . _ - and neither . nor ... "
        "Choose another name."
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": {"password": "hunter2\0"}},
        {"payload": {"password": b"hunter2"}},
        {"payload": {"account": Thing()}},
        {"headers": {"authorization": "hunter2\0"}},
        {"headers": {"authorization": b"hunter2"}},
        {"partition_key": "x" * 250 + "hunter2"},
    ],
)
def test_secrets_do_not_show(fields: dict[str, Any]) -> None:
    assert "hunter2" not in str(refusal(one, **fields))


def test_excerpts_are_short_whatever_the_value() -> None:
    assert len(str(refusal(one, topic="x y" * 100_000))) < 300
    assert len(str(refusal(one, payload=[10**4300]))) < 300
    assert len(str(refusal(one, payload={"k" * 10_000: {"k" * 10_000: b""}}))) < 500


def test_nothing_is_asked_of_the_database() -> None:
    with CaptureQueriesContext(connection) as queries, pytest.raises(InvalidEvent):
        enqueue(topic="orders", payload={"a": b""})
    assert len(queries) == 0


@pytest.mark.parametrize(
    "error",
    [
        InvalidEvent("topic", "'a b'", "wrong", "Change it"),
        NotInTransaction("default"),
        DuplicateEvent("acme", "a", 17, True),
        DuplicateInFlight("acme", "a"),
        DuplicateInFlight(),
    ],
)
def test_errors_survive_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_headers_that_leave_no_room(write: Enqueue, settings: Settings) -> None:
    settings.OUTBOX_MAX_MESSAGE_BYTES = 2_000
    assert "no room" in refusal(write, headers={"a": "x" * 2_000}).reason
