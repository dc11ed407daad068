"""A message's headers: the caller's, and the trace that the event belongs to."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from outbox.enqueueing.diagnosis import text_problem
from outbox.enqueueing.excerpts import excerpt, outline
from outbox.errors import InvalidEvent

TRACEPARENT = "traceparent"
RESERVED = frozenset(("tenant-id", "dedupe-key", "event-id", "event-created-at", "attempt", "content-type", "replay"))
"""Names of the headers that relays write themselves."""

_NAME_MAX_LENGTH = 255
# W3C Trace Context: ff is no version, zeros are no id, versions after 00 may append fields.
_IDS = "(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT = re.compile(f"00-{_IDS}|(?!00|ff)[0-9a-f]{{2}}-{_IDS}(?:-[!-~]*)?")

_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


def serialise(headers: Mapping[str, str] | None, *, traceparent: str | None, current: str | None) -> tuple[str, int]:
    """The headers as JSON text, and the bytes that they take in a message. Raises `InvalidEvent`.

    `current` is the trace that is active where the event is enqueued, and holds unless the caller names another.
    """
    if headers is None and traceparent is None and current is None:
        return "{}", 0
    checked = _checked(headers) if headers else {}
    trace = _trace(checked.get(TRACEPARENT), traceparent) or current
    if trace is not None:
        checked[TRACEPARENT] = trace
    return _encode(checked), sum(len(name.encode()) + len(value.encode()) for name, value in checked.items())


def _checked(headers: Any) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise InvalidEvent("headers", outline(headers), "headers are a mapping", "Send a dict of str to str")
    for name, value in headers.items():
        _check_name(name)
        _check_value(name, value)
    return dict(headers)


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise InvalidEvent("headers", outline(name), "a header's name is a str", "Send a dict of str to str")
    if not 1 <= len(name) <= _NAME_MAX_LENGTH:
        reason = f"a header's name has 1 to {_NAME_MAX_LENGTH} characters, this one has {len(name)}"
        raise InvalidEvent("headers", excerpt(name), reason, "Choose another name")
    if not name.isprintable():
        raise InvalidEvent("headers", excerpt(name), "the header's name is not printable", "Choose another name")
    lower = name.lower()
    if lower in RESERVED:
        raise InvalidEvent("headers", excerpt(name), "relays write this header themselves", "Choose another name")
    if lower == TRACEPARENT != name:
        raise InvalidEvent("headers", excerpt(name), "consumers look for it in lower case", f"Write {TRACEPARENT}")


def _check_value(name: str, value: Any) -> None:
    field = f"headers[{excerpt(name)}]"
    if not isinstance(value, str):
        raise InvalidEvent(field, outline(value), "a header's value is a str", "Send str(value)")
    if not value.isprintable() and (reason := text_problem(value)):
        raise InvalidEvent(field, outline(value), f"the text contains {reason}", "Remove it")


def _trace(header: Any, argument: Any) -> str | None:
    if header is not None and argument is not None and header != argument:
        raise InvalidEvent(
            TRACEPARENT, excerpt(argument), f"the header says {excerpt(header)}", "Pass it once, either way"
        )
    trace = header if argument is None else argument
    if trace is None:
        return None
    if not isinstance(trace, str) or not _TRACEPARENT.fullmatch(trace):
        reason = "it is not a W3C traceparent"
        raise InvalidEvent(TRACEPARENT, excerpt(trace), reason, "Send 00-<32 hex>-<16 hex>-<2 hex>, or nothing")
    return trace
