"""A payload as JSON text that jsonb takes, measured as jsonb prints it.

PostgreSQL parses the text and prints it again to be sent, so the text's own length is not the message's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
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
_BYTES_PER_NODE = 32

MOST_GROWTH = 55
"""Bytes of jsonb text that a character of JSON can become: "5e-324" is printed with 326 characters."""


def weigh(payload: Any, *, most_bytes: int) -> int:
    """About the bytes of memory that the payload takes, having seen that JSON can say it.

    Keys must be strings, values of JSON's types and the nesting bounded. Goes level by level and never recurses.
    Raises `InvalidEvent`, which says where in the payload the trouble is.
    """
    weight, level = 0, [payload]
    try:
        for _ in range(MOST_DEPTH):
            added, level = _weigh_level(level)
            weight += added
            # A value takes a byte at least: a small object that refers to itself many times is not walked for ever.
            if not level or len(level) > most_bytes:
                break
    except TypeError:
        raise _diagnose(payload, most_bytes) from None
    if not all(isinstance(node, _LEAVES) for node in level):
        raise _diagnose(payload, most_bytes)
    return weight


def serialise(payload: Any, *, most_bytes: int) -> str:
    """A weighed payload as JSON text that jsonb accepts and prints with at most `most_bytes` bytes.

    Raises `InvalidEvent`.
    """
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


def _weigh_level(level: list[Any]) -> tuple[int, list[Any]]:
    """The weight of these values, and what is in them that must be looked at too. Raises `TypeError`."""
    weight, deeper = 0, []
    for node in level:
        if isinstance(node, dict):
            weight += len("".join(node))  # Nothing tells faster whether all keys are strings.
            children: Collection[Any] = node.values()
        elif isinstance(node, _SEQUENCES):
            children = node
        elif isinstance(node, _LEAVES):
            weight += len(node) if isinstance(node, str) else 0
            continue
        else:
            raise TypeError
        weight += _BYTES_PER_NODE * len(children)
        for child in children:
            kind = type(child)
            if kind is str:
                weight += len(child)
            elif kind not in _PLAIN_LEAVES:
                deeper.append(child)
    return weight, deeper


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
