"""A payload as JSON text that jsonb takes, measured as jsonb prints it.

PostgreSQL parses the text and prints it again to be sent, so the text's own length is not the message's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from outbox.enqueueing.diagnosis import MOST_DEPTH, MOST_DIGITS, find_problem
from outbox.enqueueing.excerpts import outline
from outbox.errors import InvalidEvent

# Cycles are found by their depth, before anything is encoded.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode

_PLAIN_LEAVES = frozenset((str, int, float, bool, type(None)))
_LEAVES = (str, int, float, type(None))
_SEQUENCES = (list, tuple)

MOST_GROWTH = 55
"""Bytes of jsonb text that a character of JSON can become: "5e-324" is printed with 326 characters."""


def serialise(payload: Any, *, most_bytes: int) -> str:
    """The payload as JSON text that jsonb accepts and prints with at most `most_bytes` bytes.

    Raises `InvalidEvent`, which says where in the payload the trouble is.
    """
    if not _is_sound(payload, most_bytes):
        raise _diagnose(payload, most_bytes)
    try:
        text = _encode(payload)
    except ValueError as error:  # NaN, infinity, or more digits than Python prints
        raise _diagnose(payload, most_bytes) from error
    if _is_doubtful(text) and (problem := find_problem(payload, most_nodes=len(text))):
        raise problem
    if len(text) * MOST_GROWTH > most_bytes and (size := printed_bytes(text, payload)) > most_bytes:
        raise _too_large(size, most_bytes)
    return text


def printed_bytes(text: str, payload: Any) -> int:
    """Bytes of `payload::text`, given the payload's JSON text.

    jsonb spaces and escapes as Python does. Only floats differ: it writes exponents out, and zero has no sign.
    """
    size = len(text.encode())
    if "e+" in text or "e-" in text or "-0.0" in text:
        size += sum(_growth(leaf) for leaf in _leaves(payload) if isinstance(leaf, float))
    return size


def _is_sound(payload: Any, most_nodes: int) -> bool:
    """Whether keys are strings, values of JSON's types and nesting bounded: level by level, never recursive."""
    level = [payload]
    try:
        for _ in range(MOST_DEPTH):
            level = _what_is_inside(level)
            # A value takes a byte at least: a small object that refers to itself many times is not walked for ever.
            if not level or len(level) > most_nodes:
                break
    except TypeError:
        return False
    return all(isinstance(node, _LEAVES) for node in level)


def _what_is_inside(level: list[Any]) -> list[Any]:
    """What these values contain, plain leaves left out. Raises `TypeError` for what JSON has not."""
    inside = []
    for node in level:
        if isinstance(node, dict):
            "".join(node)  # Nothing tells faster whether all keys are strings.
            children: Iterable[Any] = node.values()
        elif isinstance(node, _SEQUENCES):
            children = node
        elif isinstance(node, _LEAVES):
            continue
        else:
            raise TypeError
        for child in children:
            if type(child) not in _PLAIN_LEAVES:
                inside.append(child)
    return inside


def _is_doubtful(text: str) -> bool:
    """Whether NUL, half a surrogate pair or an endless number may be in it; an escaped backslash looks like NUL."""
    if "\\u0000" in text or len(text) > MOST_DIGITS:
        return True
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _diagnose(payload: Any, most_bytes: int) -> InvalidEvent:
    return find_problem(payload, most_nodes=most_bytes) or InvalidEvent(
        "payload", outline(payload), "JSON cannot say it", "Send plain dicts, lists, texts and numbers"
    )


def _too_large(size: int, most_bytes: int) -> InvalidEvent:
    return InvalidEvent(
        "payload",
        f"<{size} bytes>",
        f"it is sent with {size} bytes, and key and headers leave it {most_bytes}",
        "Send less, such as a reference to the data; the limit is OUTBOX_MAX_MESSAGE_BYTES",
    )


def _growth(number: float) -> int:
    text = float.__repr__(number)
    if "e" in text:
        return len(format(Decimal(text), "f")) - len(text)
    return -1 if text == "-0.0" else 0


def _leaves(payload: Any) -> Iterator[Any]:
    waiting = [payload]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting.extend(node.values())
        elif isinstance(node, _SEQUENCES):
            waiting.extend(node)
        else:
            yield node
