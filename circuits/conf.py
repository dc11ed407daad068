"""Every setting of the circuits, typed, with its default and its bounds.

A setting is a Django setting of the same name; a string, as the environment gives it, is parsed.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from circuits.errors import InvalidSetting
from circuits.policy import BOUNDS, MODE_HELP, Bounds, Mode, Policy

PREFIX = "CIRCUITS_"


def _setting(default: Any, help: str, **bounds: float) -> Any:
    return field(default=default, metadata={"help": help, "bounds": Bounds(help=help, **bounds)})


def _default_of(threshold: str) -> Any:
    bounds = BOUNDS[threshold]
    (default,) = (each.default for each in fields(Policy) if each.name == threshold)
    return field(default=default, metadata={"help": bounds.help, "bounds": bounds})


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitSettings:
    """A consistent reading of all `CIRCUITS_*` settings. Times are in seconds."""

    database: str = _setting("default", "Alias of the database that holds the circuits.")

    mode: Mode = _setting(Mode.CONSECUTIVE, MODE_HELP)  # noqa: RUF009  a field
    failure_threshold: int = _default_of("failure_threshold")
    decay: float = _default_of("decay")
    failure_rate: float = _default_of("failure_rate")
    minimum_calls: int = _default_of("minimum_calls")
    rate_window: float = _default_of("rate_window")
    slow_call: float = _default_of("slow_call")
    reset_interval: float = _default_of("reset_interval")
    max_reset_interval: float = _default_of("max_reset_interval")
    half_open_probes: int = _default_of("half_open_probes")
    probe_lease: float = _default_of("probe_lease")
    stable_time: float = _default_of("stable_time")
    jitter: float = _default_of("jitter")

    cache_ttl: float = _setting(
        1.0, "Seconds after which a process reads the circuits again that it uses.", above=0, at_most=60
    )
    listen: bool = _setting(
        True,
        "Hear of changes by LISTEN, on a connection of its own. Switch off behind a pooler in transaction mode: "
        "then a change is seen within the time above.",
    )
    lock_timeout: float = _setting(
        0.25, "Seconds that recording an outcome may wait for a row that somebody holds.", at_least=0.001, at_most=60
    )
    statement_timeout: float = _setting(
        1.0, "Seconds that a statement on a circuit may take.", at_least=0.001, at_most=60
    )
    connect_timeout: int = _setting(
        2, "Seconds that connecting to the database may take, in whole numbers.", at_least=1, at_most=60
    )

    def policy(self) -> Policy:
        """The thresholds of a circuit for which staff decided nothing."""
        return Policy(**{each.name: getattr(self, each.name) for each in fields(Policy)})


def get() -> CircuitSettings:
    """The settings as they stand. Raises `InvalidSetting` for the first one that is wrong."""
    return _read()


@lru_cache(maxsize=1)
def policy() -> Policy:
    """The thresholds of a circuit for which staff decided nothing."""
    return get().policy()


def problems() -> list[InvalidSetting]:
    """Everything wrong with the settings, not only the first."""
    found: list[InvalidSetting] = [_unknown(name) for name in _given() if name not in _by_setting_name()]
    values: dict[str, Any] = {}
    for each in fields(CircuitSettings):
        try:
            values[each.name] = _value(each)
        except InvalidSetting as error:
            found.append(error)
    return found or _contradictions(CircuitSettings(**values))


def setting_name(each: Field[Any]) -> str:
    """The name under which a field stands in Django settings and in the environment."""
    return PREFIX + each.name.upper()


@lru_cache(maxsize=1)
def _read() -> CircuitSettings:
    for problem in problems():
        raise problem
    return CircuitSettings(**{each.name: _value(each) for each in fields(CircuitSettings)})


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith(PREFIX):
        _read.cache_clear()
        policy.cache_clear()


def _by_setting_name() -> dict[str, Field[Any]]:
    return {setting_name(each): each for each in fields(CircuitSettings)}


def _given() -> list[str]:
    return [name for name in dir(django_settings) if name.startswith(PREFIX)]


def _unknown(name: str) -> InvalidSetting:
    known = ", ".join(sorted(_by_setting_name()))
    return InvalidSetting(name, getattr(django_settings, name), f"no such setting; known are {known}")


def _value(each: Field[Any]) -> Any:
    name = setting_name(each)
    value = _parse(name, getattr(django_settings, name, each.default), _types()[each.name])
    bounds: Bounds = each.metadata["bounds"] if "bounds" in each.metadata else Bounds(help="")
    if isinstance(value, int | float) and not isinstance(value, bool) and (problem := bounds.problem(value)):
        raise InvalidSetting(name, value, problem)
    return value


@lru_cache(maxsize=1)
def _types() -> Mapping[str, Any]:
    return typing.get_type_hints(CircuitSettings)


def _parse(name: str, raw: Any, wanted: Any) -> Any:
    if wanted is bool:
        return _boolean(name, raw)
    if issubclass(wanted, StrEnum):
        return _choice(name, raw, wanted)
    if isinstance(raw, bool) or (wanted is str and not isinstance(raw, str)):
        raise InvalidSetting(name, raw, f"must be a {wanted.__name__}")
    try:
        value = wanted(raw)
    except (OverflowError, TypeError, ValueError) as error:
        raise InvalidSetting(name, raw, f"must be a {wanted.__name__}") from error
    if wanted is int and isinstance(raw, float) and raw != value:
        raise InvalidSetting(name, raw, "must be a whole number")
    return value


def _boolean(name: str, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    try:
        return words[str(raw).strip().lower()]
    except KeyError:
        raise InvalidSetting(name, raw, "must be true or false") from None


def _choice(name: str, raw: Any, wanted: type[StrEnum]) -> StrEnum:
    try:
        return wanted(str(raw).strip().lower())
    except ValueError:
        raise InvalidSetting(name, raw, f"must be {' or '.join(wanted)}") from None


def _contradictions(values: CircuitSettings) -> list[InvalidSetting]:
    if values.reset_interval <= values.max_reset_interval:
        return []
    reason = f"must be at most {PREFIX}MAX_RESET_INTERVAL={values.max_reset_interval:g}"
    return [InvalidSetting(f"{PREFIX}RESET_INTERVAL", values.reset_interval, reason)]
