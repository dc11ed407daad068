"""The payload's text and size, held against what PostgreSQL itself makes of it."""

from __future__ import annotations

import json
from collections import OrderedDict
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from outbox.enqueueing.jsonb import MOST_GROWTH, printed_bytes, serialise
from outbox.errors import InvalidEvent

pytestmark = pytest.mark.django_db

PLENTY = 1_000_000

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
payloads = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(texts, inner), max_leaves=30
)


def printed_by_postgresql(text: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text", [text])
        (printed,) = cursor.fetchone() or ("",)
    assert isinstance(printed, str)
    return printed


def serialised(payload: Any) -> str:
    return serialise(payload, most_bytes=PLENTY)


@given(payloads)
def test_jsonb_takes_every_accepted_payload_and_prints_the_bytes_foreseen(payload: Any) -> None:
    text = serialised(payload)
    printed = printed_by_postgresql(text)
    assert len(printed.encode()) == printed_bytes(text, payload)
    assert json.loads(printed, parse_int=float) == json.loads(json.dumps(payload), parse_int=float)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_number_grows_more_than_foreseen(number: float) -> None:
    text = serialised(number)
    assert printed_bytes(text, number) <= len(text) * MOST_GROWTH


@pytest.mark.parametrize("number", [5e-324, -5e-324, 1.7976931348623157e308, 2.2250738585072014e-308, -0.0, 1e16, 1e-5])
def test_extreme_numbers(number: float) -> None:
    text = serialised({"n": number})
    assert len(printed_by_postgresql(text)) == printed_bytes(text, {"n": number})


@given(st.text(st.characters(), min_size=1), st.booleans())
def test_text_is_refused_exactly_when_postgresql_could_not_store_it(text: str, as_key: bool) -> None:
    payload = {text: 1} if as_key else {"a": text}
    try:
        text.encode()
        storable = "\0" not in text
    except UnicodeEncodeError:
        storable = False
    if storable:
        assert json.loads(printed_by_postgresql(serialised(payload))) == payload
    else:
        with pytest.raises(InvalidEvent):
            serialised(payload)


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "a\\", "\\ud800"])
def test_backslashes_that_look_like_escapes_are_text(text: str) -> None:
    assert json.loads(printed_by_postgresql(serialised([text]))) == [text]


@pytest.mark.parametrize(
    "payload",
    [{"a": "x" * 1_000}, {"a": "ü" * 500}, [1e300] * 4, ["\n"] * 300, ["e-mail e+ -0.0", 1.5, -0.0], {"a": [1, 2]}],
)
def test_the_limit_is_exact(payload: Any) -> None:
    size = len(printed_by_postgresql(json.dumps(payload)).encode())
    assert serialise(payload, most_bytes=size)
    with pytest.raises(InvalidEvent, match=f"{size} bytes, and key and headers leave it {size - 1}"):
        serialise(payload, most_bytes=size - 1)


def test_containers_and_leaves_of_subclasses() -> None:
    class Size(IntEnum):
        XL = 42

    class Colour(StrEnum):
        RED = "red"

    class Price(float):
        def __repr__(self) -> str:
            return "a lot"

    payload = OrderedDict(size=Size.XL, colour=Colour.RED, price=Price(1e20), keys=OrderedDict({Colour.RED: (1,)}))
    text = serialised(payload)
    assert json.loads(text) == {"size": 42, "colour": "red", "price": 1e20, "keys": {"red": [1]}}
    assert len(printed_by_postgresql(text)) == printed_bytes(text, payload)
