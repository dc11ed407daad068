"""System checks: a setting that cannot work stops the start with one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register

from somabrain.memory import conf


@register("memory")
def check_settings(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    return [Error(str(problem), id="memory.E001", obj=problem.name) for problem in conf.problems()]
