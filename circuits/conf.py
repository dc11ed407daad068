"""Every setting of the circuits, typed, with its default and its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver

from circuits.errors import InvalidSetting
from circuits.policy import BOUNDS, MODE_HELP, Bounds, Mode, Policy
from circuits.typed_settings import TypedSettings

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

    history_days: int | None = _setting(
        90,
        "Days that moves of circuits are kept which nobody decided; empty: for ever. Decisions of staff are kept.",
        at_least=1,
        at_most=36_500,
    )
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
    console_timeout: float = _setting(
        2.0,
        "Seconds that a statement of a page in the admin may take, the outbox's as well; then the page says so.",
        at_least=0.001,
        at_most=600,
    )
    console_proxies: int = _setting(
        0,
        "Proxies in front of the admin that each add who came to them to X-Forwarded-For. The audit log takes the "
        "client's address from so many places from the right; 0: from the connection.",
        at_least=0,
        at_most=10,
    )
    connect_timeout: int = _setting(
        2, "Seconds that connecting to the database may take, in whole numbers.", at_least=1, at_most=60
    )

    def policy(self) -> Policy:
        """The thresholds of a circuit for which staff decided nothing."""
        return Policy(**{each.name: getattr(self, each.name) for each in fields(Policy)})


def _out_of_bounds(value: int | float, metadata: Mapping[str, Any]) -> str | None:
    bounds: Bounds | None = metadata.get("bounds")
    return bounds.problem(value) if bounds else None


def _contradictions(values: CircuitSettings) -> list[InvalidSetting]:
    if values.reset_interval <= values.max_reset_interval:
        return []
    reason = f"must be at most {PREFIX}MAX_RESET_INTERVAL={values.max_reset_interval:g}"
    return [InvalidSetting(f"{PREFIX}RESET_INTERVAL", values.reset_interval, reason)]


_settings = TypedSettings(
    CircuitSettings,
    prefix=PREFIX,
    problem=InvalidSetting,
    out_of_bounds=_out_of_bounds,
    contradictions=_contradictions,
)
get = _settings.get
problems = _settings.problems
setting_name = _settings.name


@lru_cache(maxsize=1)
def policy() -> Policy:
    """The thresholds of a circuit for which staff decided nothing."""
    return get().policy()


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith(PREFIX):
        policy.cache_clear()
