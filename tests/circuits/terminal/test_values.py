"""What people type is read strictly, and nothing that passes can be too large for a clock, a timer or a socket."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from circuits.terminal import output, values


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (values.duration, "36501d", "'36501d' is too long: at most 36500d"),
        (values.duration, "99999999999d", "'99999999999d' is too long: at most 36500d"),
        (values.seconds, "nan", "'nan' is no number of seconds from 0 to 3_153_600_000"),
        (values.seconds, "inf", "'inf' is no number"),
        (values.seconds, "-1", "'-1' is no number"),
        (values.seconds, "1e10", "'1e10' is no number"),
        (values.seconds, "soon", "'soon' is no number"),
        (values.port, "65536", "'65536' is no TCP port from 0 to 65535"),
        (values.port, "-1", "'-1' is no TCP port"),
        (values.port, "9" * 5_000, "' is no TCP port"),
        (values.port, "http", "'http' is no TCP port"),
        (values.at_most(16), "17", "'17' is above 16"),
        (values.at_most(16), "0", "'0' is no positive whole number"),
        (values.moment, "9999-12-31T23:59-12:00", "'9999-12-31T23:59-12:00' is too far away"),
        (values.moment, "9999-12-31T23:59Z", "is too far away"),
        (values.moment, "0001-01-01T00:00+12:00", "is too far away"),
        (values.moment, "0001-01-01T00:00", "is too far away"),
        (values.moment, "2026-02-30T00:00", "is no time"),
    ],
)
def test_what_cannot_be_meant_is_refused(read: Callable[[str], Any], text: str, said: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refusal:
        read(text)
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (values.duration, "36500d", values.LONGEST),
        (values.seconds, "0", 0.0),
        (values.seconds, "0.5", 0.5),
        (values.seconds, "3153600000", 3_153_600_000.0),
        (values.port, "0", 0),
        (values.port, "65535", 65_535),
        (values.at_most(16), "16", 16),
        (values.moment, "9999-12-30T23:59Z", datetime(9999, 12, 30, 23, 59, tzinfo=UTC)),
    ],
)
def test_what_can_just_be_meant_is_read(read: Callable[[str], Any], text: str, value: Any) -> None:
    assert read(text) == value


def test_a_timer_can_wait_for_as_long_as_anybody_may_ask() -> None:
    assert values.LONGEST.total_seconds() < threading.TIMEOUT_MAX
    assert datetime.now(UTC) + values.LONGEST < datetime.max.replace(tzinfo=UTC) - timedelta(days=366 * 1_000)


@pytest.mark.parametrize("place", ["Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("text", ["9999-12-30T23:59Z", "0001-01-02T00:00Z"])
def test_any_moment_that_is_read_can_be_written_in_any_time_zone(place: str, text: str) -> None:
    with timezone.override(ZoneInfo(place)):
        assert output.at(values.moment(text))
