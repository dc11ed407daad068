"""System checks: what cannot work stops the start with one line and an id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections
from pytest_django import Settings

from outbox import counting, sql
from outbox.checks import RELAYS
from outbox.enqueueing import admission
from outbox.relay import rollup


def found() -> list[tuple[str | None, str]]:
    return [(message.id, message.msg) for message in run_checks(tags=["outbox"])]


def test_the_service_starts() -> None:
    assert found() == []


def test_a_setting_that_cannot_work_stops_the_start(settings: Settings) -> None:
    settings.OUTBOX_BATCH_SIZE = 0
    assert found() == [("outbox.E001", "OUTBOX_BATCH_SIZE=0: must be at least 1.")]
    with pytest.raises(SystemCheckError, match="OUTBOX_BATCH_SIZE=0: must be at least 1"):
        call_command("check")


def test_an_unknown_database_alias(settings: Settings) -> None:
    settings.OUTBOX_DATABASE = settings.CIRCUITS_DATABASE = "elsewhere"
    ((id_, message),) = found()
    assert id_ == "outbox.E002"
    assert message == "OUTBOX_DATABASE='elsewhere': no such alias in DATABASES; known are default."


def test_relays_without_circuits(settings: Settings) -> None:
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "circuits"]
    assert found() == [("outbox.E006", 'Relays need the app "circuits".')]


def test_circuits_in_another_database(settings: Settings, shop_alias: str) -> None:
    settings.CIRCUITS_DATABASE = shop_alias
    expected = "CIRCUITS_DATABASE='shop': relays need circuits where the outbox is, in 'default'."
    assert found() == [("outbox.E007", expected)]


@pytest.fixture
def sqlite_alias() -> Iterator[str]:
    connections.settings["lite"] = {
        **connections.settings["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
    }
    yield "lite"
    del connections["lite"]
    del connections.settings["lite"]


def test_a_database_that_is_not_postgresql(settings: Settings, sqlite_alias: str) -> None:
    settings.OUTBOX_DATABASE = settings.CIRCUITS_DATABASE = sqlite_alias
    assert found() == [("outbox.E003", "OUTBOX_DATABASE='lite': the outbox needs PostgreSQL.")]


@pytest.fixture
def shop_alias() -> Iterator[str]:
    connections.settings["shop"] = {**connections.settings["default"]}
    connections["shop"]
    yield "shop"
    del connections["shop"]
    del connections.settings["shop"]


def test_an_outbox_where_the_admin_does_not_look(settings: Settings, shop_alias: str) -> None:
    settings.OUTBOX_DATABASE = settings.CIRCUITS_DATABASE = shop_alias
    assert found() == [("outbox.W001", "OUTBOX_DATABASE='shop', but the admin looks for the outbox in 'default'.")]
    assert [each.id for each in run_checks(tags=["circuits"])] == ["circuits.W001"]
    settings.DATABASE_ROUTERS = ["outbox.routers.OutboxRouter", "circuits.routers.CircuitsRouter"]
    assert found() == []
    assert run_checks(tags=["circuits"]) == []


@pytest.mark.parametrize(("config", "id_"), [(17, "outbox.E004"), ("", None)])
def test_where_kafka_is(settings: Settings, config: Any, id_: str | None) -> None:
    settings.OUTBOX_KAFKA_CONFIG = config
    assert [each for each, _ in found()] == ([id_] if id_ else [])


def test_kafka_settings_that_would_break_a_guarantee(settings: Settings) -> None:
    settings.OUTBOX_KAFKA_CONFIG = {"bootstrap.servers": "localhost:9092", "acks": "1"}
    ((id_, message),) = found()
    assert id_ == "outbox.E005"
    assert message.startswith("Kafka setting acks=1: ")


@pytest.mark.parametrize(
    "options",
    [
        {"application_name": "outbox-relay shop"},
        {"fallback_application_name": "outbox-relay"},
        {"options": r"-c jit=off -c application_name=outbox-relay\ shop"},
    ],
)
def test_a_database_whose_sessions_are_called_like_relays(shop_alias: str, options: dict[str, Any]) -> None:
    connections.settings[shop_alias]["OPTIONS"] = {"connect_timeout": 10, **options}
    ((id_, message),) = found()
    assert id_ == "outbox.E008"
    assert message.startswith("DATABASES['shop']: application_name='outbox-relay")


@pytest.mark.parametrize(
    ("name", "value"), [("PGAPPNAME", "outbox-relay-web"), ("PGOPTIONS", "-c application_name=outbox-relay")]
)
def test_a_process_whose_sessions_are_called_like_relays(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    ((id_, message),) = found()
    assert id_ == "outbox.E008"
    assert message.startswith(f"{name}: application_name='outbox-relay")


def test_sessions_with_another_name(shop_alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGAPPNAME", "shop outbox-relay")
    connections.settings[shop_alias]["OPTIONS"] = {"application_name": "outbox", "options": "-c jit=off"}
    assert found() == []


def test_sessions_whose_names_are_refused_are_those_that_nobody_waits_for() -> None:
    assert f"application_name NOT LIKE '{RELAYS} %%'" in sql.load("writers")
    names = (counting.SESSION_NAME, admission.SESSION_NAME, rollup.SESSION_NAME)
    assert [name for name in names if not name.startswith(f"{RELAYS} ")] == []
