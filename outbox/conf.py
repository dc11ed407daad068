"""Every setting of the outbox, typed, with its default and its bounds.

A setting is a Django setting of the same name; a string, as the environment gives it, is parsed.
"""

from __future__ import annotations

import typing
from dataclasses import Field, dataclass, field, fields
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from outbox.errors import InvalidSetting

PREFIX = "OUTBOX_"


def _setting(
    default: Any, help: str, *, at_least: float | None = None, above: float | None = None, at_most: float | None = None
) -> Any:
    return field(default=default, metadata={"help": help, "at_least": at_least, "above": above, "at_most": at_most})


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """A consistent reading of all `OUTBOX_*` settings."""

    database: str = _setting("default", "Alias of the database that holds the outbox.")
    kafka_config: typing.Mapping[str, Any] | str = _setting(
        "", "librdkafka settings: a dict, or the dotted path of a function that returns one."
    )
    # Below the upper bound no payload of any shape meets PostgreSQL's limits on jsonb, the first of which is an array
    # of 16.8 million numbers.
    max_message_bytes: int = _setting(
        900_000,
        "Largest event accepted, in bytes: payload as sent, key and headers.",
        at_least=1_000,
        at_most=50_000_000,
    )

    batch_size: int = _setting(5_000, "Most events in one round of a relay.", at_least=1, at_most=50_000)
    batch_bytes: int = _setting(8_000_000, "Most payload bytes in one round of a relay.", at_least=1_000)
    round_seconds: float = _setting(0.05, "Time that one round aims at.", above=0, at_most=5)
    express_round_seconds: float = _setting(
        0.02, "Time that a round aims at while quiet tenants wake up beside it.", above=0, at_most=5
    )
    quantum: int = _setting(4, "Events a lane gets at least when its turn comes.", at_least=1)
    max_lanes: int = _setting(1_024, "Lanes one relay may hold at once.", at_least=1, at_most=100_000)

    lease_seconds: float = _setting(5.0, "How long a lease lives without renewal.", above=0)
    renew_seconds: float = _setting(1.0, "Rhythm in which leases are renewed and policies read again.", above=0)
    tenure_seconds: float = _setting(1.0, "How long a relay keeps a lane while others wait.", above=0)
    idle_seconds: float = _setting(0.5, "Longest sleep of an idle relay.", above=0, at_most=60)
    scan_seconds: float = _setting(0.25, "Shortest pause between two looks for lanes with work.", above=0)
    session_takeover: bool = _setting(
        True,
        "Detect a dead relay by its database session. Switch off behind PgBouncer in transaction mode: "
        "then the lease alone decides.",
    )

    delivery_timeout_seconds: float = _setting(
        3.0, "The relay's own deadline for a delivery report; shorter than the message timeout.", above=0
    )
    message_timeout_seconds: float = _setting(
        4.5, "librdkafka's message.timeout.ms, in seconds; not longer than the lease.", above=0
    )
    max_attempts: int = _setting(20, "Failed attempts after which an event is a dead letter.", at_least=1)
    backoff_base_seconds: float = _setting(0.5, "Backoff after the first failed attempt, doubled after each.", above=0)
    backoff_max_seconds: float = _setting(300.0, "Longest backoff between two attempts.", above=0)
    dead_letter_blocks_key: bool = _setting(False, "Whether a dead letter keeps the later events of its key waiting.")

    notify: bool = _setting(True, "Wake relays by NOTIFY after a commit.")
    notify_interval_seconds: float = _setting(
        0.005, "Shortest time between two NOTIFY of one process.", at_least=0, at_most=10
    )
    backlog_seconds: float = _setting(
        5.0, "Shortest pause between two counts of what waits, all processes together.", above=0, at_most=3_600
    )
    backlog_limits: bool = _setting(True, "Refuse events of tenants that have reached their backlog_limit.")
    retention_days: int | None = _setting(
        30,
        "Days that sent and discarded events are kept, and their dedupe keys with them, unless a tenant's policy says "
        "otherwise; unset: for ever.",
        at_least=1,
        at_most=36_500,
    )
    dead_letter_retention_days: int | None = _setting(
        None, "Days that dead letters are kept; unset: for ever.", at_least=1, at_most=36_500
    )
    prune_minutes: int | None = _setting(
        5, "Minutes between two runs of the schedule that prunes; unset: no schedule.", at_least=1, at_most=1_440
    )
    relays_per_host: int | None = _setting(
        None, "How many qcluster workers of a host run a relay; unset: all of them.", at_least=0
    )


def get() -> OutboxSettings:
    """The settings as they stand. Raises `InvalidSetting` for the first one that is wrong."""
    return _read()


def problems() -> list[InvalidSetting]:
    """Everything wrong with the settings, not only the first."""
    found: list[InvalidSetting] = [_unknown(name) for name in _given() if name not in _by_setting_name()]
    values: dict[str, Any] = {}
    for each in fields(OutboxSettings):
        try:
            values[each.name] = _value(each)
        except InvalidSetting as error:
            found.append(error)
    return found or _contradictions(OutboxSettings(**values))


@lru_cache(maxsize=1)
def _read() -> OutboxSettings:
    for problem in problems():
        raise problem
    return OutboxSettings(**{each.name: _value(each) for each in fields(OutboxSettings)})


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith(PREFIX):
        _read.cache_clear()


def setting_name(each: Field[Any]) -> str:
    """The name under which a field stands in Django settings and in the environment."""
    return PREFIX + each.name.upper()


def _by_setting_name() -> dict[str, Field[Any]]:
    return {setting_name(each): each for each in fields(OutboxSettings)}


def _given() -> list[str]:
    return [name for name in dir(django_settings) if name.startswith(PREFIX)]


def _unknown(name: str) -> InvalidSetting:
    known = ", ".join(sorted(_by_setting_name()))
    return InvalidSetting(name, getattr(django_settings, name), f"no such setting; known are {known}")


def _value(each: Field[Any]) -> Any:
    name = setting_name(each)
    raw = getattr(django_settings, name, each.default)
    wanted = _types()[each.name]
    value = _parse(name, raw, wanted)
    _check_bounds(name, value, each.metadata)
    return value


@lru_cache(maxsize=1)
def _types() -> dict[str, Any]:
    return typing.get_type_hints(OutboxSettings)


def _parse(name: str, raw: Any, wanted: Any) -> Any:
    kinds = typing.get_args(wanted)
    if type(None) in kinds:
        if raw is None or raw == "":
            return None
        wanted = next(kind for kind in kinds if kind is not type(None))
    elif kinds:
        # Only OUTBOX_KAFKA_CONFIG, which outbox.kafka.config examines.
        return raw
    if wanted is bool:
        return _boolean(name, raw)
    if isinstance(raw, bool) or (wanted is str and not isinstance(raw, str)):
        raise InvalidSetting(name, raw, f"must be a {wanted.__name__}")
    try:
        value = wanted(raw)
    except (TypeError, ValueError) as error:
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


def _check_bounds(name: str, value: Any, bounds: typing.Mapping[str, Any]) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    low, above, high = bounds["at_least"], bounds["above"], bounds["at_most"]
    if low is not None and not value >= low:
        raise InvalidSetting(name, value, f"must be at least {low}")
    if above is not None and not value > above:
        raise InvalidSetting(name, value, f"must be above {above}")
    if high is not None and not value <= high:
        raise InvalidSetting(name, value, f"must be at most {high}")
    if isinstance(value, float) and value == float("inf"):
        raise InvalidSetting(name, value, "must be finite")


def _contradictions(values: OutboxSettings) -> list[InvalidSetting]:
    found = []
    if values.message_timeout_seconds > values.lease_seconds:
        found.append(
            InvalidSetting(
                "OUTBOX_LEASE_SECONDS",
                values.lease_seconds,
                "must not be shorter than OUTBOX_MESSAGE_TIMEOUT_SECONDS="
                f"{values.message_timeout_seconds}: a message could outlive the lease it was sent under",
            )
        )
    if values.delivery_timeout_seconds >= values.message_timeout_seconds:
        found.append(
            InvalidSetting(
                "OUTBOX_DELIVERY_TIMEOUT_SECONDS",
                values.delivery_timeout_seconds,
                f"must be shorter than OUTBOX_MESSAGE_TIMEOUT_SECONDS={values.message_timeout_seconds}: "
                "librdkafka must never expire a message by itself",
            )
        )
    if values.renew_seconds * 2 > values.lease_seconds:
        found.append(
            InvalidSetting(
                "OUTBOX_RENEW_SECONDS",
                values.renew_seconds,
                f"must be at most half of OUTBOX_LEASE_SECONDS={values.lease_seconds}",
            )
        )
    if values.backoff_base_seconds > values.backoff_max_seconds:
        found.append(
            InvalidSetting(
                "OUTBOX_BACKOFF_BASE_SECONDS",
                values.backoff_base_seconds,
                f"must not exceed OUTBOX_BACKOFF_MAX_SECONDS={values.backoff_max_seconds}",
            )
        )
    if values.dead_letter_blocks_key and values.dead_letter_retention_days is not None:
        found.append(
            InvalidSetting(
                "OUTBOX_DEAD_LETTER_RETENTION_DAYS",
                values.dead_letter_retention_days,
                "must be unset while OUTBOX_DEAD_LETTER_BLOCKS_KEY is true: deleting a dead letter would free its key",
            )
        )
    return found
