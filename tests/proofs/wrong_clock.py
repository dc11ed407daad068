"""A host whose clock is wrong: install it before anything is imported that might ask for the time."""

from __future__ import annotations

import datetime as standard
import time
from typing import Any

_RIGHT = standard.datetime


def install(*, wrong_by: float) -> None:
    """Every wall clock that Python code can ask is so many seconds fast from now on. Monotonic ones tell no date."""
    right_now = time.time
    time.time = lambda: right_now() + wrong_by
    time.time_ns = lambda: int(time.time() * 1e9)
    _WrongDatetime.wrong_by = standard.timedelta(seconds=wrong_by)
    standard.datetime = _WrongDatetime  # type: ignore[misc]


def check(*, wrong_by: float) -> None:
    """Fails if code that has been imported since is not told the wrong time."""
    from django.utils import timezone

    for told in (timezone.now(), standard.datetime.now(standard.UTC)):
        error = (told - _RIGHT.now(standard.UTC)).total_seconds()
        assert abs(error - wrong_by) < 60, f"the clock is off by {error} s and not by {wrong_by} s"


class _LikeTheRightOne(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _RIGHT)


class _WrongDatetime(_RIGHT, metaclass=_LikeTheRightOne):
    """Tells the wrong time in datetimes of the ordinary class."""

    wrong_by = standard.timedelta()

    @classmethod
    def now(cls, tz: standard.tzinfo | None = None) -> Any:
        return _RIGHT.now(tz) + cls.wrong_by

    @classmethod
    def today(cls) -> Any:
        return _RIGHT.now() + cls.wrong_by

    @classmethod
    def utcnow(cls) -> Any:
        return _RIGHT.now(standard.UTC).replace(tzinfo=None) + cls.wrong_by
