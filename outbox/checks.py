"""System checks: a setting that cannot work stops the start with one line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

import circuits.conf
from outbox import conf
from outbox.kafka import config as kafka
from outbox.models import OutboxEvent

RELAYS = "outbox-relay"
"""What the names of relays' sessions begin with; writers.sql leaves them out."""
_IN_OPTIONS = re.compile(r"application_name=(\S+)")


@register("outbox")
def check_settings(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    return [Error(str(problem), id="outbox.E001", obj=problem.name) for problem in conf.problems()]


@register("outbox")
def check_database(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    if conf.problems():
        return []
    alias = conf.get().database
    if alias not in connections.settings:
        known = ", ".join(connections.settings)
        return [Error(f"OUTBOX_DATABASE={alias!r}: no such alias in DATABASES; known are {known}.", id="outbox.E002")]
    if connections[alias].vendor != "postgresql":
        return [Error(f"OUTBOX_DATABASE={alias!r}: the outbox needs PostgreSQL.", id="outbox.E003")]
    looked_at = router.db_for_read(OutboxEvent)
    if looked_at == alias:
        return []
    message = f"OUTBOX_DATABASE={alias!r}, but the admin looks for the outbox in {looked_at!r}."
    hint = 'Add "outbox.routers.OutboxRouter" to DATABASE_ROUTERS.'
    return [Warning(message, hint=hint, id="outbox.W001")]


@register("outbox")
def check_circuits(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Relays ask for lanes and for their circuits in one statement."""
    if not apps.is_installed("circuits"):
        hint = 'Add "circuits" to INSTALLED_APPS, and migrate.'
        return [Error('Relays need the app "circuits".', hint=hint, id="outbox.E006")]
    if conf.problems() or circuits.conf.problems():
        return []
    ours, theirs = conf.get().database, circuits.conf.get().database
    if ours == theirs:
        return []
    message = f"CIRCUITS_DATABASE={theirs!r}: relays need circuits where the outbox is, in {ours!r}."
    return [Error(message, id="outbox.E007")]


@register("outbox")
def check_session_names(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Relays wait for the transactions of all sessions but their own, which they know by the name."""
    hint = f"Choose a name that does not begin with {RELAYS}."
    reason = "relays are called that and do not wait for one another, so they would miss events that this commits late"
    return [
        Error(f"{place}: application_name={name!r}: {reason}.", hint=hint, id="outbox.E008")
        for place, name in _session_names()
        if name.startswith(RELAYS)
    ]


def _session_names() -> Iterator[tuple[str, str]]:
    """Each name that sessions may get, and where that is said."""
    for alias in connections.settings:
        options: Mapping[str, Any] = connections.settings[alias].get("OPTIONS") or {}
        for key in ("application_name", "fallback_application_name"):
            yield f"DATABASES[{alias!r}]", str(options.get(key, ""))
        for name in _IN_OPTIONS.findall(str(options.get("options", ""))):
            yield f"DATABASES[{alias!r}]", name
    yield "PGAPPNAME", os.environ.get("PGAPPNAME", "")
    for name in _IN_OPTIONS.findall(os.environ.get("PGOPTIONS", "")):
        yield "PGOPTIONS", name


@register("outbox")
def check_kafka(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """A function that finds the broker at run time is not called here: it may need one that is not up yet."""
    if conf.problems() or isinstance(conf.get().kafka_config, str):
        return []
    try:
        problems = kafka.problems(kafka.client_config())
    except ImproperlyConfigured as error:
        return [Error(str(error), id="outbox.E004")]
    return [Error(f"Kafka setting {each.name}={each.value}: {each.message}.", id="outbox.E005") for each in problems]
