"""System checks: a setting that cannot work stops the start with one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import connections, router

from circuits import conf
from circuits.models import TenantCircuit


@register("circuits")
def check_settings(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    return [Error(str(problem), id="circuits.E001", obj=problem.name) for problem in conf.problems()]


@register("circuits")
def check_database(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    if conf.problems():
        return []
    alias = conf.get().database
    if alias not in connections.settings:
        known = ", ".join(connections.settings)
        message = f"CIRCUITS_DATABASE={alias!r}: no such alias in DATABASES; known are {known}."
        return [Error(message, id="circuits.E002")]
    if connections[alias].vendor != "postgresql":
        return [Error(f"CIRCUITS_DATABASE={alias!r}: circuits need PostgreSQL.", id="circuits.E003")]
    looked_at = router.db_for_read(TenantCircuit)
    if looked_at == alias:
        return []
    message = f"CIRCUITS_DATABASE={alias!r}, but the admin looks for circuits in {looked_at!r}."
    hint = 'Add "circuits.routers.CircuitsRouter" to DATABASE_ROUTERS.'
    return [Warning(message, hint=hint, id="circuits.W001")]
