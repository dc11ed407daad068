from __future__ import annotations

import os
import runpy
import traceback
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from somabrain.embedded.paths import CHECKOUT
from somabrain.production import DEVELOPMENT_KEY
from tests.support.processes import ManageProcess, clean_environment

PRODUCTION = {
    "SECRET_KEY": "as-nobody-could-guess-8Hf3kQz7Lw2x",
    "DATABASE_URL": "postgresql://ann:pass@db.example:5433/shop?sslmode=require&keepalives_idle=7",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092",
    "ALLOWED_HOSTS": "shop.example,www.shop.example",
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Any:
    def read(**environment: str) -> dict[str, Any]:
        for name in os.environ.keys() - clean_environment().keys():
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(CHECKOUT / "somabrain" / "settings.py"))

    return read


def test_nothing_set_means_a_laptop(read: Any) -> None:
    settings = read()
    assert settings["DEBUG"] is True
    assert settings["DATABASES"]["default"]["ENGINE"] == "somabrain.embedded.database"
    assert settings["OUTBOX_KAFKA_CONFIG"] == "somabrain.embedded.broker.client_config"


def test_a_database_means_production_which_names_everything_that_is_missing(read: Any) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        read(DATABASE_URL=PRODUCTION["DATABASE_URL"])
    assert "DEBUG is false, so set SECRET_KEY, KAFKA_BOOTSTRAP_SERVERS, ALLOWED_HOSTS" in str(refusal.value)


@pytest.mark.parametrize("name", PRODUCTION)
def test_production_does_not_start_without(read: Any, name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"set {name};"):
        read(DEBUG="false", **{**PRODUCTION, name: " "})


@pytest.mark.parametrize(
    ("secrets", "known"),
    [
        ({"SECRET_KEY": DEVELOPMENT_KEY}, "SECRET_KEY begins with django-insecure-"),
        ({"SECRET_KEY": "django-insecure-8Hf3kQz7Lw2xP5vN9rT1"}, "SECRET_KEY begins with django-insecure-"),
        ({"SECRET_KEY": "Change-Me-to-50-random-characters-or-so"}, "SECRET_KEY contains change-me"),
        ({"SECRET_KEY": "8Hf3kQz7Lw2xP5vN9rT1bC6dJ4mS0yW" + " "}, "SECRET_KEY has fewer than 32 characters"),
        ({"METRICS_TOKEN": "change-me-too-and-soon"}, "METRICS_TOKEN contains change-me"),
        ({"METRICS_TOKEN": "8Hf3kQz7Lw2xP5v"}, "METRICS_TOKEN has fewer than 16 characters"),
        (
            {"SECRET_KEY": "8Hf3kQz7", "METRICS_TOKEN": "P5vN9rT1"},
            "SECRET_KEY has fewer than 32 characters, METRICS_TOKEN has fewer than 16 characters",
        ),
    ],
)
def test_production_does_not_start_with_secrets_that_are_known_or_short(
    read: Any, secrets: dict[str, str], known: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        read(**{**PRODUCTION, **secrets})
    said = str(refusal.value)
    assert f"DEBUG is false, so secrets must be hard to guess: {known}. This makes one: python3 -c" in said
    assert not [secret for secret in secrets.values() if secret in said]


def test_production_starts_with_secrets_that_are_just_long_enough(read: Any) -> None:
    settings = read(**{**PRODUCTION, "SECRET_KEY": "x7" * 16, "METRICS_TOKEN": "x7" * 8})
    assert settings["METRICS_TOKEN"] == "x7" * 8


def test_development_may_have_any_secret(read: Any) -> None:
    settings = read(DEBUG="true", SECRET_KEY="change-me", METRICS_TOKEN="x")
    assert (settings["SECRET_KEY"], settings["METRICS_TOKEN"]) == ("change-me", "x")


def test_production_reads_what_it_is_given(read: Any) -> None:
    settings = read(**PRODUCTION)
    database = settings["DATABASES"]["default"]
    assert settings["DEBUG"] is False
    assert settings["SECRET_KEY"] == PRODUCTION["SECRET_KEY"]
    assert settings["ALLOWED_HOSTS"] == ["shop.example", "www.shop.example"]
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("db.example", 5433, "shop")
    assert settings["OUTBOX_KAFKA_CONFIG"] == {"bootstrap.servers": "kafka.example:9092"}


def test_a_dead_network_ends_a_database_session_unless_the_url_knows_better(read: Any) -> None:
    options = read(**PRODUCTION)["DATABASES"]["default"]["OPTIONS"]
    assert options["tcp_user_timeout"] == 30_000
    assert options["keepalives_idle"] == 7
    assert options["sslmode"] == "require"


def test_production_is_served_over_https_only(read: Any) -> None:
    settings = read(**PRODUCTION)
    assert settings["SECURE_SSL_REDIRECT"]
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["CSRF_COOKIE_SECURE"]
    assert settings["SECURE_HSTS_SECONDS"] > 0
    assert "SECURE_PROXY_SSL_HEADER" not in settings
    assert not read(**PRODUCTION, SECURE_SSL_REDIRECT="false")["SECURE_SSL_REDIRECT"]
    assert "SECURE_PROXY_SSL_HEADER" in read(**PRODUCTION, TRUST_X_FORWARDED_PROTO="true")


def test_development_on_a_given_database_is_asked_for_by_name(read: Any) -> None:
    settings = read(DEBUG="true", DATABASE_URL=PRODUCTION["DATABASE_URL"])
    assert settings["DATABASES"]["default"]["NAME"] == "shop"
    assert settings["OUTBOX_KAFKA_CONFIG"] == "somabrain.embedded.broker.client_config"


def test_only_postgresql_will_do(read: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="must begin with postgresql://"):
        read(DEBUG="true", DATABASE_URL="sqlite:///file")


def test_any_librdkafka_setting_comes_from_the_environment(read: Any) -> None:
    kafka = read(KAFKA_MESSAGE_TIMEOUT_MS="4000", KAFKA_SSL_CA_LOCATION="/ca.pem", KAFKA_ACKS="")["KAFKA"]
    assert kafka == {"message.timeout.ms": "4000", "ssl.ca.location": "/ca.pem"}


def test_outbox_settings_reach_the_outbox_as_they_were_written(read: Any) -> None:
    settings = read(OUTBOX_BATCH_SIZE="0", OUTBOX_NO_SUCH="x")
    assert (settings["OUTBOX_BATCH_SIZE"], settings["OUTBOX_NO_SUCH"]) == ("0", "x")


@pytest.mark.parametrize("word", ["true", "1", "Yes", " on "])
def test_a_variable_that_is_true_is_understood(read: Any, word: str) -> None:
    assert "SECURE_PROXY_SSL_HEADER" in read(**PRODUCTION, TRUST_X_FORWARDED_PROTO=word)


@pytest.mark.parametrize("word", ["false", "0", "no", "OFF"])
def test_a_variable_that_is_false_is_understood(read: Any, word: str) -> None:
    assert read(**PRODUCTION, SECURE_SSL_REDIRECT=word)["SECURE_SSL_REDIRECT"] is False


def test_an_empty_variable_is_as_good_as_none(read: Any) -> None:
    settings = read(
        **PRODUCTION, SECURE_SSL_REDIRECT="", SECURE_HSTS_SECONDS=" ", QCLUSTER_WORKERS="", LOG_LEVEL="", STATIC_ROOT=""
    )
    assert settings["SECURE_SSL_REDIRECT"] is True
    assert settings["SECURE_HSTS_SECONDS"] == 2_592_000
    assert settings["Q_CLUSTER"]["workers"] == 2
    assert settings["LOGGING"]["root"]["level"] == "INFO"
    assert settings["STATIC_ROOT"] == CHECKOUT / ".cache" / "static"


@pytest.mark.parametrize("level", ["warning", "WARNING"])
def test_a_level_of_the_log_is_understood_in_letters_of_any_size(read: Any, level: str) -> None:
    assert read(LOG_LEVEL=level)["LOGGING"]["root"]["level"] == "WARNING"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DEBUG", "flase", "must be true or false"),
        ("SECURE_SSL_REDIRECT", "ture", "must be true or false"),
        ("SECURE_HSTS_INCLUDE_SUBDOMAINS", "2", "must be true or false"),
        ("TRUST_X_FORWARDED_PROTO", "none", "must be true or false"),
        ("SECURE_HSTS_SECONDS", "x", "must be a whole number"),
        ("SECURE_HSTS_SECONDS", "-1", "must be at least 0"),
        ("QCLUSTER_WORKERS", "abc", "must be a whole number"),
        ("QCLUSTER_WORKERS", "2.5", "must be a whole number"),
        ("QCLUSTER_WORKERS", "0", "must be at least 1"),
        ("QCLUSTER_WORKERS", "1001", "must be at most 1,000"),
        ("LOG_LEVEL", "loud", "must be debug or info or warning or error or critical"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named_with_what_it_must_be(
    read: Any, name: str, value: str, reason: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        read(**{**PRODUCTION, name: value})
    assert str(refusal.value) == f"{name}={value!r}: {reason}."


def test_a_secret_may_begin_like_the_name_of_a_variable(read: Any) -> None:
    secret = "$ecret-" + "x7" * 20
    assert read(**{**PRODUCTION, "SECRET_KEY": secret})["SECRET_KEY"] == secret


def test_a_password_of_the_database_may_have_any_character_that_is_escaped(read: Any) -> None:
    database = read(DEBUG="true", DATABASE_URL="postgresql://ann:a%2Fb%3Fc%23d%40e%3Af%5Bg%5D%25@db/shop")
    assert database["DATABASES"]["default"]["PASSWORD"] == "a/b?c#d@e:f[g]%"
    assert database["DATABASES"]["default"]["HOST"] == "db"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2/hunter2@db/shop",
        "postgresql://ann:12/hunter2@db/shop",
        "postgresql://ann:12?hunter2@db/shop",
        "postgresql://ann:12#hunter2@db/shop",
        "postgresql://ann:hunter2?hunter2@db/shop",
        "postgresql://ann:hunter2#hunter2@db/shop",
        "postgresql://ann:hunter2[@db/shop",
        "postgresql://ann:hunter2@db:port/shop",
        "postgresql://ann:hunter2@db:99999/shop",
        "postgresql://ann:hunter2@db/",
        "postgresql://ann:hunter2@db",
        "//ann:hunter2@db/shop",
        "ann:hunter2@db/shop",
        "postgresql:ann:hunter2@db/shop",
    ],
)
def test_a_database_url_that_cannot_be_understood_is_not_shown(read: Any, url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"DATABASE_URL.* postgresql://") as refusal:
        read(DEBUG="true", DATABASE_URL=url)
    assert "hunter2" not in "".join(traceback.format_exception(refusal.value)[-2:])
    assert refusal.value.__cause__ is refusal.value.__context__ is None


def test_a_database_may_be_named_by_libpqs_service(read: Any) -> None:
    database = read(DEBUG="true", DATABASE_URL="postgresql://?service=shop")["DATABASES"]["default"]
    assert database["OPTIONS"]["service"] == "shop"


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"DEBUG": "false"}, "Error: DEBUG is false, so set SECRET_KEY, DATABASE_URL"),
        (
            {"DEBUG": "true", "DATABASE_URL": "postgresql://ann:hunter2/hunter2@db/shop"},
            "Error: DATABASE_URL cannot be understood: write postgresql://user:password@host:port/name.",
        ),
        ({"QCLUSTER_WORKERS": "abc"}, "Error: QCLUSTER_WORKERS='abc': must be a whole number."),
        ({"OUTBOX_BATCH_SIZE": "0"}, "(outbox.E001) OUTBOX_BATCH_SIZE"),
        ({"OUTBOX_BATCHSIZE": "1"}, "(outbox.E001) OUTBOX_BATCHSIZE='1': no such setting"),
    ],
)
def test_a_command_that_cannot_start_says_why_without_a_traceback(
    tmp_path: Path, environment: dict[str, str], complaint: str
) -> None:
    process = ManageProcess("check", log=tmp_path / "log", environment=environment)
    assert process.wait(timeout=60) == 1
    process.kill()
    assert complaint in process.output()
    assert "Traceback" not in process.output()
    assert "hunter2" not in process.output()
