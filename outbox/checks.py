"""System checks: a setting that cannot work stops the start with one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register
from django.db import DEFAULT_DB_ALIAS, connections

from outbox import conf


@register("outbox")
def check_settings(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    return [Error(str(problem), id="outbox.E001", obj=problem.name) for problem in conf.problems()]


@register("outbox")
def check_database(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    alias = _alias()
    if alias not in connections.settings:
        return [
            Error(
                f"OUTBOX_DATABASE={alias!r}: no such alias in DATABASES; there are {', '.join(connections.settings)}.",
                id="outbox.E002",
            )
        ]
    if connections[alias].vendor != "postgresql":
        return [Error(f"OUTBOX_DATABASE={alias!r}: the outbox needs PostgreSQL.", id="outbox.E003")]
    return []


def _alias() -> str:
    return DEFAULT_DB_ALIAS if conf.problems() else conf.get().database
