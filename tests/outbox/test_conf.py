"""Settings: read lazily, parsed from text, refused with one clear line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from pytest_django import Settings

from outbox import conf
from outbox.errors import InvalidSetting, OutboxError


def problem(settings: Settings, **changes: Any) -> InvalidSetting:
    """The only thing wrong with these settings."""
    for name, value in changes.items():
        setattr(settings, name, value)
    (found,) = conf.problems()
    with pytest.raises(InvalidSetting) as raised:
        conf.get()
    assert str(raised.value) == str(found)
    return found


def test_the_defaults_are_sound_and_documented() -> None:
    assert conf.problems() == []
    for each in fields(conf.OutboxSettings):
        assert each.metadata["help"].endswith(".")


def test_values_are_typed() -> None:
    values = conf.get()
    assert (values.max_message_bytes, values.notify, values.relays_per_host) == (900_000, True, None)
    assert isinstance(values.lease_seconds, float)


def test_a_change_is_seen_at_once(settings: Settings) -> None:
    assert conf.get() is conf.get()
    settings.OUTBOX_BATCH_SIZE = 17
    assert conf.get().batch_size == 17


def test_a_change_of_other_settings_costs_nothing(settings: Settings) -> None:
    before = conf.get()
    settings.LANGUAGE_CODE = "de"
    assert conf.get() is before


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("batch_size", "17", 17),
        ("batch_size", 17.0, 17),
        ("lease_seconds", "10", 10.0),
        ("lease_seconds", 10, 10.0),
        ("database", "other", "other"),
        ("notify", "false", False),
        ("notify", " ON ", True),
        ("notify", "0", False),
        ("notify", True, True),
        ("relays_per_host", "", None),
        ("relays_per_host", None, None),
        ("task_queue_restart_seconds", "", None),
        ("task_queue_restart_seconds", "60", 60.0),
        ("relays_per_host", "0", 0),
        ("kafka_config", {"acks": "all"}, {"acks": "all"}),
    ],
)
def test_text_of_the_environment_is_parsed(settings: Settings, name: str, text: Any, value: Any) -> None:
    setattr(settings, f"OUTBOX_{name.upper()}", text)
    parsed = getattr(conf.get(), name)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("BATCH_SIZE", 0, "at least 1"),
        ("BATCH_SIZE", "0", "at least 1"),
        ("BATCH_SIZE", -5, "at least 1"),
        ("BATCH_SIZE", 50_001, "at most 50000"),
        ("BATCH_SIZE", "many", "must be a whole number"),
        ("BATCH_SIZE", "", "must be a whole number"),
        ("BATCH_SIZE", 1.5, "whole number"),
        ("BATCH_SIZE", True, "must be a whole number"),
        ("BATCH_SIZE", None, "must be a whole number"),
        ("BATCH_SIZE", [1], "must be a whole number"),
        ("MAX_MESSAGE_BYTES", 999, "at least 1000"),
        ("MAX_MESSAGE_BYTES", 50_000_001, "at most 50000000"),
        ("ROUND_SECONDS", 0, "above 0"),
        ("ROUND_SECONDS", "nan", "above 0"),
        ("ROUND_SECONDS", "soon", "must be a number"),
        ("BACKOFF_MAX_SECONDS", "inf", "finite"),
        ("NOTIFY", "maybe", "true or false"),
        ("NOTIFY", "", "true or false"),
        ("NOTIFY", 2, "true or false"),
        ("RELAYS_PER_HOST", -1, "at least 0"),
        ("TASK_QUEUE_RESTART_SECONDS", 0, "at least 1"),
        ("DATABASE", 17, "must be a text"),
    ],
)
def test_impossible_values_are_refused(settings: Settings, name: str, value: Any, reason: str) -> None:
    found = problem(settings, **{f"OUTBOX_{name}": value})
    assert str(found) == f"OUTBOX_{name}={found.value!r}: {found.reason}."
    assert reason in found.reason
    assert isinstance(found, OutboxError)


@pytest.mark.parametrize(
    ("changes", "blamed"),
    [
        ({"OUTBOX_LEASE_SECONDS": 4}, "OUTBOX_LEASE_SECONDS"),
        ({"OUTBOX_DELIVERY_TIMEOUT_SECONDS": 4.5}, "OUTBOX_DELIVERY_TIMEOUT_SECONDS"),
        ({"OUTBOX_RENEW_SECONDS": 2.6}, "OUTBOX_RENEW_SECONDS"),
        ({"OUTBOX_BACKOFF_BASE_SECONDS": 301}, "OUTBOX_BACKOFF_BASE_SECONDS"),
        (
            {"OUTBOX_DEAD_LETTER_RETENTION_DAYS": 30, "OUTBOX_DEAD_LETTER_BLOCKS_KEY": True},
            "OUTBOX_DEAD_LETTER_RETENTION_DAYS",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused(
    settings: Settings, changes: dict[str, float], blamed: str
) -> None:
    assert problem(settings, **changes).name == blamed


def test_an_unknown_name_is_refused_with_the_known_ones(settings: Settings) -> None:
    found = problem(settings, OUTBOX_BATCHSIZE=5)
    assert (found.name, found.value) == ("OUTBOX_BATCHSIZE", 5)
    assert "OUTBOX_BATCH_SIZE" in found.reason


def test_everything_wrong_is_told_at_once(settings: Settings) -> None:
    settings.OUTBOX_BATCH_SIZE = 0
    settings.OUTBOX_LANES = 5
    settings.OUTBOX_NOTIFY = "perhaps"
    assert {found.name for found in conf.problems()} == {"OUTBOX_BATCH_SIZE", "OUTBOX_LANES", "OUTBOX_NOTIFY"}
