"""Where exactly a payload cannot be said in jsonb, and what to do about it. Slow, and asked of doubtful ones only."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from outbox.enqueueing.excerpts import excerpt, outline
from outbox.errors import InvalidEvent

MOST_DEPTH = 100
MOST_DIGITS = 131_072
"""Digits that PostgreSQL's numeric has before the point. A float never has more, nor more than it has behind it."""

_MOST_PATH = 200
_WAY_OUT = "Send str, int, float, bool, None, and lists and dicts of them"
_WAYS_OUT = {
    "Decimal": "Send str(value), or float(value) if rounding does no harm",
    "UUID": "Send str(value)",
    "datetime": "Send value.isoformat()",
    "date": "Send value.isoformat()",
    "time": "Send value.isoformat()",
    "timedelta": "Send value.total_seconds()",
    "bytes": "Decode it, or send it in base64",
    "bytearray": "Decode it, or send it in base64",
    "memoryview": "Decode it, or send it in base64",
    "set": "Send a list",
    "frozenset": "Send a list",
}


class _Node(NamedTuple):
    value: Any
    step: str
    parent: _Node | None
    depth: int


def find_problem(payload: Any, *, most_nodes: int) -> InvalidEvent | None:
    """The first thing wrong with a payload, if any, looking at `most_nodes` values at most."""
    for count, node in enumerate(_nodes(payload), start=1):
        if count > most_nodes:
            return _refuse(node, "the payload has more values than the largest event has bytes", "Send less")
        if problem := _problem(node):
            return problem
    return None


def _nodes(payload: Any) -> Iterator[_Node]:
    waiting = [_Node(payload, "payload", None, 1)]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node.value, dict):
            children = [_Node(value, f".{key}", node, node.depth + 1) for key, value in node.value.items()]
        elif isinstance(node.value, list | tuple):
            children = [_Node(value, f"[{n}]", node, node.depth + 1) for n, value in enumerate(node.value)]
        else:
            continue
        waiting.extend(reversed(children))


def _problem(node: _Node) -> InvalidEvent | None:
    value = node.value
    if isinstance(value, dict | list | tuple):
        return _container_problem(node)
    if isinstance(value, str):
        if reason := text_problem(value):
            return _refuse(node, f"the text contains {reason}", "Remove it")
    elif isinstance(value, float):
        if not math.isfinite(value):
            return _refuse(node, "JSON has no NaN and no Infinity", "Send None")
    elif isinstance(value, int):
        if abs(value) >= 10 ** (most := _most_digits()):
            return _refuse(node, f"the number has more than {most} digits", "Send it as a string")
    elif value is not None:
        names = [each.__name__ for each in type(value).__mro__]
        way_out = next((_WAYS_OUT[name] for name in names if name in _WAYS_OUT), _WAY_OUT)
        return _refuse(node, f"JSON has no {names[0]}", way_out)
    return None


def text_problem(text: str) -> str | None:
    """What a text contains that PostgreSQL cannot store, if anything."""
    if "\0" in text:
        return "a NUL character, which PostgreSQL cannot store"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair, which UTF-8 cannot say"
    return None


def _container_problem(node: _Node) -> InvalidEvent | None:
    if node.depth > MOST_DEPTH:
        if any(each.value is node.value for each in _ancestors(node)):
            return _refuse(node, "it contains itself", "Send a reference instead of the object")
        return _refuse(node, f"it is nested more than {MOST_DEPTH} deep", "Send a flatter structure")
    for key in node.value if isinstance(node.value, dict) else ():
        if not isinstance(key, str):
            return _refuse(node, f"the key {outline(key)} is not a string", "Send str(key)")
        if reason := text_problem(key):
            return _refuse(node, f"the key {excerpt(key)} contains {reason}", "Remove it")
    return None


def _most_digits() -> int:
    """Python refuses to print longer numbers than it is told to, 4,300 digits by default and 0 for any length."""
    return min(sys.get_int_max_str_digits() or MOST_DIGITS, MOST_DIGITS)


def _ancestors(node: _Node) -> Iterator[_Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _refuse(node: _Node, reason: str, way_out: str) -> InvalidEvent:
    steps = [node.step, *(each.step for each in _ancestors(node))]
    path = "".join(reversed(steps))
    shown = path if len(path) <= _MOST_PATH else f"{path[:_MOST_PATH]}..."
    return InvalidEvent(shown, outline(node.value), reason, way_out)
