"""What people type, read strictly: each raises `ArgumentTypeError` with what to write instead."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_datetime

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(?:\d+[smhdw])+")
_PART = re.compile(r"(\d+)([smhdw])")
LONGEST = timedelta(days=36_500)
"""Added to any day that a clock shows, it is a date that can still be written."""
_HIGHEST_PORT = 65_535
# In every time zone they are dates that can be written.
_FIRST = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
_LAST = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


def positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)


def duration(text: str) -> timedelta:
    if not _DURATION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90s, 5m, 2h, 1d, 1w or 1h30m")
    try:
        length = sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in _PART.findall(text)), timedelta())
    except OverflowError:
        length = timedelta.max
    if length > LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is too long: at most {LONGEST.days}d")
    return length


def seconds(text: str) -> float:
    """A finite number, 0 included."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= LONGEST.total_seconds():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {LONGEST.total_seconds():_.0f}")
    return found


def port(text: str) -> int:
    """A TCP port; 0 for one that is free."""
    if not text.isascii() or not text.isdecimal() or len(text) > 5 or int(text) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no TCP port from 0 to {_HIGHEST_PORT}")
    return int(text)


def at_most(most: int) -> Callable[[str], int]:
    """A positive whole number, but none above that."""

    def read(text: str) -> int:
        if (found := positive(text)) > most:
            raise argparse.ArgumentTypeError(f"{text!r} is above {most:_}")
        return found

    return read


def moment(text: str) -> datetime:
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 2026-11-23T18:00, or with an offset +01:00")
    aware = found if timezone.is_aware(found) else timezone.make_aware(found)
    if not _FIRST <= aware <= _LAST:
        raise argparse.ArgumentTypeError(f"{text!r} is too far away to be reckoned with")
    return aware
