"""Settings: read lazily, parsed from text, refused with one clear line; and system checks that say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connections, router
from pytest_django import Settings

from circuits import conf
from circuits.errors import CircuitError, InvalidSetting, InvalidThreshold
from circuits.models import TenantCircuit
from circuits.policy import BOUNDS, Mode, Policy, check


def found() -> list[tuple[str | None, str]]:
    return [(message.id, message.msg) for message in run_checks(tags=["circuits"])]


def test_the_defaults_are_sound_and_documented() -> None:
    assert conf.problems() == []
    assert found() == []
    for each in fields(conf.CircuitSettings):
        assert each.metadata["help"].endswith(".")


def test_the_defaults_of_settings_are_those_of_a_policy() -> None:
    assert conf.policy() == Policy()
    assert {each.name for each in fields(Policy)} == {*BOUNDS, "mode"}


def test_a_change_is_seen_at_once(settings: Settings) -> None:
    assert conf.policy() is conf.policy()
    settings.CIRCUITS_FAILURE_THRESHOLD = "9"
    assert (conf.policy().failure_threshold, type(conf.policy().failure_threshold)) == (9, int)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("mode", " Rate ", Mode.RATE),
        ("failure_threshold", 5.0, 5),
        ("decay", "2.5", 2.5),
        ("decay", 2, 2.0),
        ("listen", "off", False),
        ("listen", True, True),
        ("database", "other", "other"),
    ],
)
def test_text_of_the_environment_is_parsed(settings: Settings, name: str, text: Any, value: Any) -> None:
    setattr(settings, f"CIRCUITS_{name.upper()}", text)
    parsed = getattr(conf.get(), name)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("FAILURE_THRESHOLD", 0, "must be at least 1"),
        ("FAILURE_THRESHOLD", "many", "must be a whole number"),
        ("FAILURE_THRESHOLD", 1.5, "must be a whole number"),
        ("FAILURE_THRESHOLD", True, "must be a whole number"),
        ("FAILURE_THRESHOLD", float("inf"), "must be a whole number"),
        ("FAILURE_THRESHOLD", None, "must be a whole number"),
        ("RESET_INTERVAL", 0, "must be above 0"),
        ("RESET_INTERVAL", "nan", "must be finite"),
        ("RESET_INTERVAL", 301, "must be at most CIRCUITS_MAX_RESET_INTERVAL=300"),
        ("FAILURE_RATE", 1.1, "must be at most 1"),
        ("DECAY", "inf", "must be finite"),
        ("MODE", "guess", "must be consecutive or rate"),
        ("LISTEN", "perhaps", "must be true or false"),
        ("LISTEN", 2, "must be true or false"),
        ("DATABASE", 17, "must be a text"),
        ("TRESHOLD", 5, "no such setting; known are CIRCUITS_CACHE_TTL, "),
    ],
)
def test_impossible_values_stop_the_start(settings: Settings, name: str, value: Any, reason: str) -> None:
    setattr(settings, f"CIRCUITS_{name}", value)
    ((id_, message),) = found()
    assert id_ == "circuits.E001"
    assert message.startswith(f"CIRCUITS_{name}=")
    assert reason in message
    with pytest.raises(InvalidSetting) as raised:
        conf.get()
    assert isinstance(raised.value, CircuitError)
    assert str(raised.value) == message


def test_an_unknown_database_alias(settings: Settings) -> None:
    settings.CIRCUITS_DATABASE = "elsewhere"
    message = "CIRCUITS_DATABASE='elsewhere': no such alias in DATABASES; known are default."
    assert found() == [("circuits.E002", message)]


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
    settings.CIRCUITS_DATABASE = sqlite_alias
    assert found() == [("circuits.E003", "CIRCUITS_DATABASE='lite': circuits need PostgreSQL.")]


def test_an_admin_that_looks_into_another_database_is_warned_of(settings: Settings) -> None:
    connections.settings["other"] = dict(connections.settings["default"])
    try:
        settings.CIRCUITS_DATABASE = "other"
        ((id_, message),) = found()
        assert (id_, message) == (
            "circuits.W001",
            "CIRCUITS_DATABASE='other', but the admin looks for circuits in 'default'.",
        )
        settings.DATABASE_ROUTERS = ["circuits.routers.CircuitsRouter"]
        assert found() == []
        assert router.db_for_write(TenantCircuit) == "other"
        assert [router.allow_migrate(alias, "circuits") for alias in ("default", "other")] == [False, True]
        assert router.allow_migrate("default", "auth")
    finally:
        del connections["other"]
        del connections.settings["other"]


class TestThresholdsOfATenant:
    def test_what_is_not_set_is_the_default(self) -> None:
        policy = Policy(failure_threshold=7).with_changes({"decay": 5.0, "mode": "rate", "failure_threshold": None})
        assert policy == Policy(failure_threshold=7, decay=5, mode=Mode.RATE)

    def test_a_default_below_the_own_interval_gives_way(self) -> None:
        assert Policy(max_reset_interval=10, reset_interval=5).with_changes({"reset_interval": 20}) == Policy(
            reset_interval=20, max_reset_interval=20
        )

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"reset_interval": 301}, "reset_interval"),
            ({"max_reset_interval": 29}, "max_reset_interval"),
            ({"reset_interval": 20, "max_reset_interval": 10}, "reset_interval"),
            ({"failure_threshold": 0}, "failure_threshold"),
            ({"probe_lease": -1}, "probe_lease"),
        ],
    )
    def test_what_contradicts_itself_or_the_defaults_is_refused(self, changes: dict[str, float], field: str) -> None:
        with pytest.raises(InvalidThreshold) as refused:
            check(Policy(), changes)
        assert refused.value.field == field
